// The counts: one of the periods that the daemon counts, chosen in this browser, and the reset of one.
import { remember, remembered } from "./heat.js";

const $ = (id) => document.getElementById(id);
const CHOSEN = "line.count";
const choices = [...document.querySelectorAll('#tallies input[name="tally"]')];
let station = "";
let told = []; // its periods
let words = {};

function el(tag, text) {
  const node = document.createElement(tag);
  node.textContent = text;
  return node;
}

function setText(node, text) {
  if (node.textContent !== String(text)) node.textContent = text;
}

function show() {
  const wanted = choices.find((c) => c.checked)?.value;
  const tally = told.find((t) => t.scope === wanted) ?? told[0];
  if (!tally) return;
  for (const choice of choices) {
    const there = told.find((t) => t.scope === choice.value);
    choice.disabled = !there;
    choice.checked = choice.value === tally.scope;
    choice.parentElement.title = there ? `${there.name}, ${there.since}` : words.nolot;
  }
  for (const [name, value] of Object.entries(tally.counts)) setText($(`count-${name}`), value);
  setText($("since"), tally.scope === "lot" ? `${tally.name} ${tally.since}` : tally.since);
  $("since").title = $("since").textContent;
  setText($("differs"), tally.differs);
  const reset = $("reset");
  if (reset) reset.hidden = tally.scope !== "reset";
  const items = tally.reasons.map((r) => {
    const item = document.createElement("li");
    item.append(el("span", r.text), el("b", String(r.count)));
    return item;
  });
  if (!items.length) {
    items.push(el("li", words.noreasons));
    items[0].className = "quiet";
  }
  $("reasons").replaceChildren(...items);
}

export function counts(status, texts) {
  station = status.station;
  told = status.tallies;
  words = texts;
  show();
}

async function begin(form) {
  const csrf = document.querySelector('meta[name="csrf"]').content;
  const answer = await fetch("/counts/reset", {
    method: "POST",
    headers: { "content-type": "application/json", "x-csrf-token": csrf },
    body: JSON.stringify({ station, why: form.elements.why.value }),
  }).then((r) => r.json(), () => ({ error: words.offline.text }));
  if (answer.told) {
    form.reset();
    $("reset-dialog").close();
  }
  $("reset-told").textContent = answer.error ?? "";
}

export function setUp() {
  const kept = choices.find((c) => c.value === remembered(CHOSEN));
  if (kept) kept.checked = true;
  for (const choice of choices) choice.addEventListener("change", () => {
    remember(CHOSEN, choice.value);
    show();
  });
  if (!$("reset")) return;
  $("reset").addEventListener("click", () => {
    $("reset-told").textContent = "";
    $("reset-dialog").showModal();
  });
  $("reset-no").addEventListener("click", () => $("reset-dialog").close());
  $("reset-form").addEventListener("submit", (event) => {
    event.preventDefault();
    begin(event.target);
  });
}
