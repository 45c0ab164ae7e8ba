// Collect: labels by one key, targets, the region. A label counts once the server says that it is on its disk.
import { makeLook } from "./look.js";
import { filled, makePost, newTicket } from "./post.js";

const $ = (id) => document.getElementById(id);
const words = JSON.parse($("collect").dataset.words);
const regions = JSON.parse($("collect").dataset.regions);
const may = $("collect").dataset.may === "1";
const LOOK_AGAIN_MS = 10_000; // for pictures of parts that nobody told us of
const WRITTEN_MS = 300; // after its part a picture is on the disk
const SHOWN = 5; // pictures that wait, small
const LOOK_MS = 700; // so long a picture that came by itself takes no label: the finger was on its way for the one before
const now = { items: [], total: 0, done: 0, held: null, ticket: "", busy: false, asking: false, moves: 0, last: undefined, from_ms: 0 };
const post = makePost(() => tell(words.again, true));

function tell(text, bad = false) {
  $("told").textContent = text;
  $("told").toggleAttribute("data-bad", bad);
}

function made(tag, text, attributes = {}) {
  const element = document.createElement(tag);
  element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function show() {
  const item = now.items.find((one) => one.no === now.held) ?? now.items[0];
  $("none").hidden = Boolean(item);
  $("none").textContent = words.empty;
  $("shot").hidden = !item;
  $("waiting").textContent = filled(words.waiting, { n: now.total - now.done });
  for (const button of document.querySelectorAll("#labels [data-label], #skip")) button.disabled = !item || !may;
  $("undo").disabled = !may;
  $("strip").replaceChildren(...now.items.slice(0, SHOWN).map((one) => {
    const button = made("button", "", { type: "button", "data-no": one.no, "aria-current": String(one === item), title: one.no });
    button.append(Object.assign(document.createElement("img"), { src: one.picture, alt: String(one.no), loading: "lazy" }));
    return button;
  }));
  if (!item) {
    now.held = null;
    $("shot").removeAttribute("src");
    $("facts").textContent = $("stage").dataset.no = $("stage").dataset.shown = "";
    return;
  }
  if (now.held !== item.no) {
    now.held = item.no;
    now.ticket = newTicket();
  }
  $("stage").dataset.no = item.no;
  $("facts").textContent = item.facts.map((fact) => fact.join(" ")).join(" · ");
  if ($("shot").getAttribute("src") !== item.picture) $("shot").src = item.picture;
}

// The newest picture waits to be labelled; one that is being looked at stays until it has its label.
async function more() {
  if (now.asking || now.busy || document.hidden) return;
  now.asking = true;
  const { held, moves } = now;
  try {
    const answer = await fetch(`/review/queue?queue=collect&days=${$("days").value}&blind=1`);
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.error);
    if (now.busy) return;
    if (now.moves !== moves) return setTimeout(more); // it is of before the last label, and would bring that picture back
    if (now.last === undefined) now.last = found.last; // from then on what this page gave: another may be open beside it
    Object.assign(now, { items: found.items, total: found.total, done: found.done });
    if (!$("hold").checked) now.held = found.items[0]?.no ?? null;
    if (now.held !== Number($("stage").dataset.no)) now.ticket = newTicket();
    if (held !== null && now.held !== null && now.held !== held) now.from_ms = Infinity; // until it can be seen
    show();
  } catch (problem) {
    if (!(problem instanceof TypeError)) tell(problem.message, true);
  } finally {
    now.asking = false;
  }
}

async function give(label) {
  if (!may || now.busy || now.held === null || !label) return;
  if (performance.now() < now.from_ms) return tell(words.changed, true);
  if ($("stage").dataset.shown !== String(now.held)) return tell(words.unseen, true);
  now.busy = true;
  const no = now.held;
  const answer = await post("/review/label", { no, label, ticket: now.ticket });
  now.busy = false;
  if (!answer.ok) return tell(answer.error, true);
  now.items = now.items.filter((item) => item.no !== no);
  now.moves += 1;
  now.last = answer.n;
  now.done += 1;
  now.held = null;
  tell(filled(words.kept, { no, label: answer.label }));
  show();
  await Promise.all([more(), count()]);
}

async function undo() {
  if (!may || now.busy) return;
  now.busy = true;
  const answer = await post("/review/undo?blind=1", { n: now.last ?? 0 });
  now.busy = false;
  if (!answer.ok) return tell(answer.error, true);
  if (answer.item) now.items = [answer.item, ...now.items.filter((item) => item.no !== answer.no)];
  now.moves += 1;
  now.last = answer.last;
  now.held = null;
  now.done = Math.max(0, now.done - 1);
  tell(filled(words.undone, answer));
  show();
  await count();
}

function skip() {
  const at = now.items.findIndex((item) => item.no === now.held);
  if (now.busy || now.items.length < 2) return;
  $("hold").checked = true;
  now.held = now.items[(at + 1) % now.items.length].no;
  now.ticket = newTicket();
  show();
}

function showCounts(found) {
  $("progress").replaceChildren(...found.progress.map((one) => {
    const row = document.createElement("tr");
    const bar = Object.assign(document.createElement("progress"), { max: one.wanted, value: Math.min(one.done, one.wanted) });
    bar.setAttribute("aria-label", `${one.name} ${one.of}`);
    const cell = document.createElement("td");
    cell.append(bar);
    row.append(made("th", one.name, { scope: "row" }), made("td", one.of), made("td", `${one.done} / ${one.wanted}`, { class: "num" }), cell);
    row.toggleAttribute("data-done", one.done >= one.wanted);
    return row;
  }));
  $("notargets").hidden = found.progress.length > 0;
  $("lots").replaceChildren(...found.lots.map(([lot, name, n]) => {
    const row = document.createElement("tr");
    row.append(made("td", lot), made("td", name), made("td", n, { class: "num" }));
    return row;
  }));
}

async function count() {
  try {
    const answer = await fetch("/collect/progress");
    if (answer.ok) showCounts(await answer.json());
  } catch (problem) {
    if (!(problem instanceof TypeError)) throw problem;
  }
}

function keyed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input:not([type=checkbox]), select, textarea")) {
    if (event.key === "Enter" && event.target.id === "other") {
      give(event.target.value.trim());
      event.target.value = "";
    } else if (event.key !== "Escape") return;
    event.target.blur();
    event.preventDefault();
    return;
  }
  if (look.box.keyed(event)) {
    event.preventDefault();
    return;
  }
  const key = event.key.toLowerCase();
  const actions = {
    g: () => give("good"), u: () => give("unsure"), z: undo, s: skip, c: () => $("other").focus(),
    b: () => $("region-draw").disabled || look.box.toggle(),
  };
  const numbered = document.querySelector(`#labels [data-key="${CSS.escape(key)}"]`);
  if (!numbered && !Object.hasOwn(actions, key)) return;
  event.preventDefault();
  if (event.repeat) return; // a key that is held down labels one picture
  if (numbered) give(numbered.dataset.label);
  else actions[key]();
}

const look = makeLook(words, regions, () => setTimeout(more, WRITTEN_MS));
$("labels").addEventListener("click", (event) => give(event.target.closest("[data-label]")?.dataset.label));
$("strip").addEventListener("click", (event) => {
  const chosen = event.target.closest("[data-no]");
  if (!chosen || now.busy) return;
  $("hold").checked = true;
  now.held = Number(chosen.dataset.no);
  now.ticket = newTicket();
  show();
});
$("skip").addEventListener("click", skip);
$("undo").addEventListener("click", undo);
$("days").addEventListener("change", more);
$("hold").addEventListener("change", more);
$("shot").addEventListener("load", () => {
  $("stage").dataset.shown = $("stage").dataset.no;
  if (now.from_ms === Infinity) now.from_ms = performance.now() + LOOK_MS;
});
$("shot").addEventListener("error", () => { now.from_ms = 0; });
$("region").addEventListener("submit", async (event) => {
  event.preventDefault();
  const region = look.region();
  const answer = await post("/collect/region", { station: look.station(), region });
  if (answer.ok) look.saved(region);
  $("region-told").textContent = answer.error ?? (region ? words["region.kept"] : words["region.whole"]);
});
$("target")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  const body = { label: form.get("label"), lot: form.get("lot"), wanted: Number(form.get("wanted")) };
  const answer = await post("/collect/target", body);
  if (answer.ok) location.reload(); // a class that is new gets its key
  else $("target-told").textContent = answer.error;
});
addEventListener("keydown", keyed);
show();
more();
setInterval(more, LOOK_AGAIN_MS);
