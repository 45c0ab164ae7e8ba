// Draws what it is given, as text; decides nothing. Nothing here writes HTML.
import { isOn } from "./heat.js";

const bare = document.body.hasAttribute("data-bare"); // who looks may see no pictures
const SVG = "http://www.w3.org/2000/svg";
const $ = (id) => document.getElementById(id);

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

export function sign(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "sign");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#sign-${name}`);
  svg.append(use);
  return svg;
}

function pairs(list, node) {
  node.replaceChildren(...list.filter(([, v]) => v).map(([k, v]) => el("div", {}, el("dt", {}, k), el("dd", { title: v }, v))));
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text; // a screen reader speaks only what changed
}

export function verdict(view, part, words) {
  const panel = $("verdict");
  panel.dataset.sign = view.sign;
  panel.toggleAttribute("data-urgent", Boolean(view.urgent));
  panel.toggleAttribute("data-long", view.word.length > 4 && view.sign !== "fault");
  $("verdict-sign").setAttribute("href", `#sign-${view.sign}`);
  setText($("verdict-word"), view.word);
  setText($("verdict-text"), view.text);
  setText($("verdict-hint"), view.hint);
  const facts = part
    ? [[words.part, part.part_id], [words.class, part.label], [words.confidence, part.label ? part.confidence : ""],
       [words.time, part.time], [words.elapsed, part.elapsed]]
    : [];
  pairs(facts, $("verdict-facts"));
}

function load(img, url, lost = () => {}) { // the picture is written just after the result: ask again while it is on its way
  if (img.dataset.url === url) return;
  img.dataset.url = url;
  let left = 6;
  img.onload = () => { img.hidden = false; };
  img.onerror = () => {
    if (left-- > 0) setTimeout(() => { if (img.dataset.url === url) img.src = `${url}?again=${left}`; }, 250);
    else {
      img.hidden = true;
      lost();
    }
  };
  if (img.getAttribute("src") !== url) img.src = url;
  else if (img.complete && !img.naturalWidth) img.onerror(); // the page named it itself, and it failed before we were here
}

function clear(img) {
  img.hidden = true;
  delete img.dataset.url;
  img.removeAttribute("src");
}

export function picture(shown, words) {
  const part = shown && bare ? { ...shown, preview: null, heat: null } : shown;
  const img = $("picture-img"), heat = $("picture-heat"), none = $("picture-none");
  setText($("picture-caption"), part ? `${words.part} ${part.part_id}, ${part.time}` : "");
  none.textContent = part ? words.nopicture : words.nopart;
  none.hidden = Boolean(part && part.preview);
  if (part && part.preview) {
    img.alt = `${words.picture} ${part.part_id}${words.colon}${part.word}`;
    load(img, `/preview/${part.preview}`, () => { none.hidden = false; });
  } else clear(img);
  $("heat-tools").hidden = !(part && part.heat);
  if (part && part.heat && isOn()) load(heat, `/preview/${part.heat}`);
  else clear(heat);
}

const near = new IntersectionObserver((seen) => { // those in sight and the next few: a browser's own lazy loading takes three times as many
  for (const one of seen.filter((each) => each.isIntersecting)) {
    near.unobserve(one.target);
    load(one.target, `/thumb/${one.target.dataset.no}`);
  }
}, { root: $("strip"), rootMargin: "0px 200px" });

function shoot(img, inStrip) {
  if (img.getAttribute("src")?.startsWith("data:")) return; // it came with the page
  if (inStrip && !img.hasAttribute("src")) near.observe(img);
  else load(img, `/thumb/${img.dataset.no}`);
}

function thumb(part, inStrip) { // the form stands in the page, which draws the first ones by itself
  const made = $("thumb").content.firstElementChild.cloneNode(true), img = made.querySelector("img");
  made.href = `/part/${part.no}`;
  made.dataset.sign = part.sign;
  made.dataset.no = img.dataset.no = part.no;
  made.title = `${part.word}, ${part.part_id}, ${part.text}, ${part.time}`;
  made.toggleAttribute("data-urgent", Boolean(part.urgent));
  made.querySelector(".id").textContent = part.part_id;
  made.querySelector("use").setAttribute("href", `#sign-${part.sign}`);
  made.querySelector(".cap span").textContent = part.word;
  if (!bare && (part.preview || part.image)) shoot(img, inStrip);
  else img.remove();
  return made;
}

export function adopt() { // what the page drew by itself
  for (const img of document.querySelectorAll("#strip img")) shoot(img, true);
  for (const img of document.querySelectorAll("#pinned img")) shoot(img, false);
}

export function strip(parts, lastFail, words) {
  const list = $("strip"), there = new Map([...list.children].map((item) => [item.dataset.no, item]));
  const items = parts.map((p) => there.get(String(p.no)) ?? el("li", { "data-no": p.no }, thumb(p, true)));
  const wanted = new Set(items);
  for (const item of there.values()) if (!wanted.has(item)) item.remove();
  items.forEach((item, n) => { if (list.children[n] !== item) list.insertBefore(item, list.children[n] ?? null); });
  const pinned = $("pinned");
  if (!lastFail) pinned.replaceChildren(el("p", { class: "quiet" }, words.nofail));
  else if (pinned.dataset.no !== String(lastFail.no)) {
    pinned.dataset.no = lastFail.no;
    pinned.replaceChildren(thumb(lastFail, false));
  }
}

const MARKS = { ok: "pass", bad: "fault", unknown: "waiting" };

export function states(list, words) {
  $("states").replaceChildren(...list.map((s) =>
    el("li", { "data-state": s.state, title: s.text }, sign(MARKS[s.state]), el("span", { class: "name" }, s.name),
       el("span", { class: "text" }, s.state === "ok" ? s.text || s.mark : `${s.mark}${s.text ? words.colon + s.text : ""}`))));
}

export function facts(list) {
  pairs(list, $("facts"));
}
