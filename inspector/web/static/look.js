// The live picture of a camera: focus, light, and the region that is judged. Asks some five times a second while it is looked at.
import { makeBox } from "./box.js";
import { filled } from "./post.js";

const $ = (id) => document.getElementById(id);
const EVERY_MS = 200; // between two looks, counted from the answer
const SLOW_MS = 1000; // while the picture is that of a part, or there is none
const TREND = 150; // figures
const SIDES = ["x", "y", "w", "h"];
const HIGH = 100; // of the drawings
const SVG = "http://www.w3.org/2000/svg";

export function makeLook(words, regions, changedPart) {
  const stage = $("eye");
  let trend = [];
  let best = 0;
  let no;
  let fixed = null; // the recipe's region, where a bundle fixed it
  let size = null;
  let shown = "";
  let measured = ""; // the region that the trend is of
  const box = makeBox(stage, $("eye-ink"), $("eye-box"), (drawing) => $("region-draw").setAttribute("aria-pressed", String(drawing)), showSides);

  function showSides(sides) {
    if (!$("region")) return;
    SIDES.forEach((side, i) => {
      const field = $("region").elements[side];
      if (document.activeElement !== field) field.value = sides ? sides[i] : "";
    });
    $("lines").textContent = sides ? `[[recipes]]\nname = "${$("lines").dataset.recipe ?? "default"}"\nroi = [${sides.join(", ")}]` : "";
    $("save-region").toggleAttribute("data-due", JSON.stringify(sides) !== JSON.stringify(regions[station()] ?? null));
  }

  function station() {
    return $("station")?.value ?? "";
  }

  function say(text, state) {
    stage.dataset.state = state;
    $("eye-told").textContent = text;
  }

  function line(points, highest) {
    const scale = HIGH / (highest || 1);
    return points.map((value, i) => `${i ? "L" : "M"}${i} ${(HIGH - value * scale).toFixed(2)}`).join("");
  }

  function showFocus(sharpness) {
    trend = [...trend.slice(1 - TREND), sharpness];
    best = Math.max(best, sharpness);
    $("focus").textContent = sharpness.toFixed(sharpness < 100 ? 1 : 0);
    const share = best > 0 ? Math.round((100 * sharpness) / best) : 0;
    $("focus-best").textContent = filled(words.best, { share });
    $("focus-share").value = share;
    $("trend-line").setAttribute("d", line(trend, best * 1.05));
    $("trend-best").setAttribute("d", `M0 ${(HIGH - HIGH / 1.05).toFixed(2)}H${TREND}`);
  }

  function showLight(figures) {
    const bins = figures.histogram;
    const highest = Math.max(...bins.map(Math.sqrt)); // a root, or one bin of background hides all others
    const bars = bins.map((share, i) => {
      const high = (HIGH * Math.sqrt(share)) / (highest || 1);
      return `M${i} ${HIGH}V${(HIGH - high).toFixed(2)}H${i + 1}V${HIGH}Z`;
    });
    $("histogram").setAttribute("d", bars.join(""));
    for (const [name, value] of [["mean", figures.brightness.toFixed(0)], ["deviation", figures.contrast.toFixed(0)]]) $(name).textContent = value;
    for (const name of ["dark", "bright"]) {
      $(name).textContent = `${(100 * figures[name]).toFixed(2)} %`;
      $(name).closest("div").toggleAttribute("data-much", figures[name] > 0.01);
    }
  }

  function show(found) {
    if (found.no !== no) {
      no = found.no;
      changedPart(found);
    }
    say(found.live ? words.live : found.no ? filled(words.armed, { no: found.no }) : words.nopart, found.live ? "live" : "armed");
    $("lines").dataset.recipe = found.recipe || "default";
    if (found.size && String(found.size) !== String(size)) {
      size = found.size;
      box.size(...size);
      for (const [side, most] of [["x", size[0] - 1], ["y", size[1] - 1], ["w", size[0]], ["h", size[1]]]) $("region").elements[side].max = most;
      box.put(found.bundle_id ? found.roi : (regions[station()] ?? null));
    }
    if (found.bundle_id && !fixed) {
      fixed = found.bundle_id;
      for (const element of $("region").elements) element.disabled = true;
      $("region-told").textContent = filled(words["region.fixed"], { bundle: fixed });
    }
    if (found.picture && found.picture !== shown) {
      shown = found.picture;
      $("eye-shot").src = found.picture;
      $("eye-shot").hidden = false;
    }
    $("eye-none").hidden = Boolean(shown);
    if (!found.figures) return;
    showFocus(found.figures.sharpness);
    showLight(found.figures);
  }

  async function once() {
    const query = new URLSearchParams({ station: station() });
    const region = size ? box.value() : regions[station()];
    if (String(region) !== measured) anew();
    measured = String(region);
    if (region && !fixed) query.set("region", region.join(","));
    try {
      const answer = await fetch(`/collect/look?${query}`);
      const found = await answer.json();
      if (found.error) throw new Error(found.error);
      show(found);
      return found.live ? EVERY_MS : SLOW_MS;
    } catch (problem) {
      say(problem instanceof TypeError ? words.gone : problem.message, "trouble");
      return SLOW_MS;
    }
  }

  async function watch() {
    const wait = document.hidden ? SLOW_MS : await once();
    setTimeout(watch, wait);
  }

  function anew() {
    trend = [];
    best = 0;
  }

  $("station")?.addEventListener("change", () => {
    anew();
    size = fixed = null;
  });
  $("focus-again").addEventListener("click", anew);
  $("region-draw").addEventListener("click", () => box.toggle());
  $("region-whole").addEventListener("click", () => box.put(null));
  $("region").addEventListener("input", () => {
    const sides = SIDES.map((side) => $("region").elements[side].valueAsNumber);
    if (sides.every(Number.isInteger)) box.put(sides);
  });
  watch();
  return { box, station, region: () => box.value(), isFixed: () => Boolean(fixed), saved: (region) => {
    regions[station()] = region;
    showSides(region);
  } };
}
