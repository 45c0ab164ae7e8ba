// Review by keyboard. A label counts once the server says that it is on its disk; until then the picture stays.
import { makeBox } from "./box.js";
import { filled, makePost, newTicket, pause } from "./post.js";

const $ = (id) => document.getElementById(id);
const stage = $("stage");
const words = JSON.parse(stage.dataset.words);
const may = stage.dataset.may === "1";
const asked = new URLSearchParams(location.search);
const AHEAD = 3; // pictures that are loaded before they are wanted
const LOW = 8; // pictures left at which more are asked for
const AGAIN_MS = 1000;
const COUNTED_MS = 2000; // from a label to its place in the estimates; others given meanwhile are counted with it
const box = makeBox(stage, $("ink"), $("box"), (drawing) => {
  $("draw").setAttribute("aria-pressed", String(drawing));
  $("boxhelp").hidden = !drawing;
});
const now = {
  items: [], given: new Set(), done: 0, total: 0, busy: false, asking: false, ended: false, ticket: "", moves: 0, last: undefined,
  counting: false, asks: {},
};

const post = makePost(() => tell(words.again, true));

function tell(text, bad = false) {
  $("told").textContent = text;
  $("told").toggleAttribute("data-bad", bad);
}

function pairs(facts) {
  return facts.map(([name, value]) => {
    const row = document.createElement("div");
    for (const [tag, text] of [["dt", name], ["dd", value]]) {
      const cell = document.createElement(tag);
      cell.textContent = text;
      row.append(cell);
    }
    return row;
  });
}

function showSaid(said) {
  $("said").hidden = !said;
  if (!said) return;
  $("said-sign").setAttribute("href", `#sign-${said.sign}`);
  $("said-word").textContent = said.word;
  $("said-text").textContent = said.text;
  $("said-seen").textContent = said.seen;
}

function show() {
  const item = now.items[0];
  box.clear();
  $("note").value = $("other").value = "";
  $("heat").hidden = true;
  $("heat-toggle").setAttribute("aria-pressed", "false");
  $("heat-toggle").disabled = !item?.heat;
  $("shot").hidden = !item;
  $("none").hidden = Boolean(item);
  $("none").textContent = now.asking ? words.loading : words.empty;
  $("count").textContent = filled(words.count, now);
  $("progress").max = Math.max(now.total, 1);
  $("progress").value = now.done;
  for (const button of document.querySelectorAll("#labels button, #skip, #draw")) button.disabled = !item || !may;
  $("undo").disabled = !may;
  $("facts").replaceChildren(...pairs(item?.facts ?? []));
  showSaid(item?.said);
  if (!item) return;
  stage.dataset.no = item.no;
  $("shot").src = item.picture;
  now.ticket = newTicket();
  for (const next of now.items.slice(1, 1 + AHEAD)) new Image().src = next.picture;
}

async function more() {
  if (now.asking || now.ended) return;
  now.asking = true;
  try {
    const query = new URLSearchParams({ queue: $("queue").value, days: $("days").value });
    if ($("first").checked) query.set("first", "suspects");
    if ($("blind").checked) query.set("blind", "1");
    const before = now.moves;
    const answer = await fetch(`/review/queue?${query}`);
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.error);
    const held = new Set(now.items.map((item) => item.no));
    const fresh = found.items.filter((item) => !held.has(item.no) && !now.given.has(item.no));
    now.ended = fresh.length === 0;
    if (now.last === undefined) now.last = found.last; // from then on what this page gave: another may be open beside it
    now.total = found.total;
    $("gone").textContent = found.gone ? filled(words.gone, { n: found.gone }) : "";
    if (now.moves === before) now.done = found.done; // else it was counted before the last label
    const idle = now.items.length === 0;
    now.items.push(...fresh);
    now.asking = false;
    if (idle) show();
    else $("count").textContent = filled(words.count, now);
  } catch (problem) {
    now.asking = false;
    tell(problem.message || words.again, true);
    await pause(AGAIN_MS);
    more();
  }
}

// Estimates and truths are the page's own: it is loaded once more for a part of it alone. Old ones do not stay.
async function redraw(id) {
  const ask = (now.asks[id] = (now.asks[id] ?? 0) + 1);
  const answer = await fetch(location.href).catch(() => null);
  const page = new DOMParser().parseFromString(answer?.ok ? await answer.text() : "", "text/html");
  if (ask !== now.asks[id]) return; // asked for again meanwhile: what comes then is newer
  const fresh = page.getElementById(id);
  const focused = $(id).contains(document.activeElement);
  $(id).hidden = !fresh;
  if (fresh) $(id).replaceWith(fresh);
  if (fresh && focused) fresh.focus();
}

async function count() {
  await pause(COUNTED_MS);
  now.counting = false;
  await redraw("figures");
}

function changed() {
  now.moves += 1;
  if (now.counting || !$("figures")) return;
  now.counting = true;
  count();
}

async function give(label) {
  const item = now.items[0];
  if (!may || now.busy || !item || !label) return;
  if (stage.dataset.shown !== String(item.no)) return tell(words.unseen, true);
  now.busy = true;
  const body = { no: item.no, label, ticket: now.ticket, note: $("note").value, box: box.value() };
  const answer = await post("/review/label", body);
  now.busy = false;
  if (!answer.ok) {
    tell(answer.error, true);
    return;
  }
  changed();
  now.last = answer.n;
  now.given.add(item.no);
  now.items.shift();
  now.done += 1;
  const said = answer.said;
  tell(filled(words.kept, { no: item.no, label: answer.label, state: answer.state, word: said.word, text: said.text }));
  show();
  if (now.items.length < LOW) more();
}

async function undo() {
  if (!may || now.busy) return;
  now.busy = true;
  const answer = await post(`/review/undo${$("blind").checked ? "?blind=1" : ""}`, { n: now.last ?? 0 });
  now.busy = false;
  if (!answer.ok) {
    tell(answer.error, true);
    return;
  }
  changed();
  now.last = answer.last;
  now.given.delete(answer.no);
  if (answer.item) {
    now.items = [answer.item, ...now.items.filter((item) => item.no !== answer.no)];
    now.done = Math.max(0, now.done - 1);
  }
  show();
  tell(filled(words.undone, answer));
}

async function sayTruth(path, body) {
  const answer = await post(path, body);
  $("truth-told").textContent = answer.told ?? answer.error;
  if (!answer.ok) return false;
  changed();
  redraw("truths");
  return true;
}

function skip() {
  if (now.busy || now.items.length < 2) return;
  now.items.push(now.items.shift());
  show();
  tell("");
}

function heat() {
  const item = now.items[0];
  if (!item?.heat) return;
  if ($("heat").dataset.no !== String(item.no)) {
    $("heat").src = item.heat;
    $("heat").dataset.no = item.no;
  }
  $("heat").hidden = !$("heat").hidden;
  $("heat-toggle").setAttribute("aria-pressed", String(!$("heat").hidden));
}

function keyed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches("input:not([type=checkbox]), select, textarea");
  if (typing) {
    if (event.key === "Enter" && event.target.id === "other") give(event.target.value.trim());
    if (["Enter", "Escape"].includes(event.key) && ["note", "other"].includes(event.target.id)) {
      if (event.key === "Escape") event.target.value = "";
      event.preventDefault();
      event.target.blur();
    }
    return;
  }
  if (box.keyed(event)) {
    event.preventDefault();
    return;
  }
  const key = event.key.toLowerCase();
  const actions = {
    g: () => give("good"), u: () => give("unsure"), z: undo, s: skip, h: heat,
    b: () => may && now.items[0] && box.toggle(), n: () => $("note").focus(), c: () => may && $("other").focus(),
  };
  const numbered = document.querySelector(`#labels [data-key="${CSS.escape(key)}"]`);
  if (!numbered && !Object.hasOwn(actions, key)) return;
  event.preventDefault();
  if (event.repeat) return; // a key that is held down labels one picture
  if (numbered) give(numbered.dataset.label);
  else actions[key]();
}

$("queue").value = asked.get("queue") ?? "reject";
$("first").checked = asked.get("first") === "suspects";
$("blind").checked = asked.get("blind") === "1";
$("wanted").addEventListener("change", () => $("wanted").submit());
$("labels").addEventListener("click", (event) => give(event.target.closest("[data-label]")?.dataset.label));
$("draw").addEventListener("click", () => box.toggle());
$("heat-toggle").addEventListener("click", heat);
$("skip").addEventListener("click", skip);
$("undo").addEventListener("click", undo);
$("shot").addEventListener("load", () => {
  box.size($("shot").naturalWidth, $("shot").naturalHeight);
  stage.dataset.shown = stage.dataset.no;
});
$("shot").addEventListener("error", async () => {
  const no = stage.dataset.no;
  tell(words.unseen, true);
  await pause(AGAIN_MS);
  if (stage.dataset.no === no && now.items.length) $("shot").src = now.items[0].picture;
});
$("truth")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  const body = { serial: form.get("serial"), source: form.get("source"), good: form.get("good") === "1", note: form.get("note") };
  if (await sayTruth("/review/truth", body)) event.target.reset(); // at once: the next serial may be typed already
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("#truths [data-n]"); // pressed twice, it is taken back once
  if (button) sayTruth("/review/truth/undo", { n: Number(button.dataset.n) });
});
addEventListener("keydown", keyed);
show();
more();
