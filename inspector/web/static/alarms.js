// The list of alarms, on whichever screen has one, and what a person may do with each. Decides nothing.
import { el, sign } from "./draw.js";

const $ = (id) => document.getElementById(id);
const card = $("alarms-card");
const words = JSON.parse(card.dataset.words);
const may = card.hasAttribute("data-may");
const csrf = document.querySelector('meta[name="csrf"]')?.content ?? "";
const shown = new Map(); // list -> what it shows, so that a button that is just pressed stays
let asked = null; // the alarm that somebody is about to shelve

export function alarms(status) {
  $("alarms-count").textContent = $("unheeded").textContent = status.unheeded || "";
  $("shelved-count").textContent = status.shelved.length ? words.shelved.replace("{count}", status.shelved.length) : "";
  fill($("alarms"), status.alarms, words.none);
  if ($("shelved")) fill($("shelved"), status.shelved, words.noshelved);
}

function fill(list, views, none) {
  const as = JSON.stringify(views);
  if (shown.get(list) === as) return;
  shown.set(list, as);
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset : null;
  list.replaceChildren(...(views.length ? views.map(item) : [el("li", { class: "quiet" }, none)]));
  if (focused) list.querySelector(`[data-do="${focused.do}"][data-id="${CSS.escape(focused.id)}"]`)?.focus();
}

function item(a) {
  const meta = [a.station, a.priority_text, a.phase_text, a.since, a.until].filter(Boolean).join(" · ");
  const node = el("li", { class: "alarm", "data-id": a.id, "data-priority": a.priority, "data-phase": a.phase },
    el("p", { class: "name" }, sign("fault"), el("b", {}, a.help ? el("a", { href: a.help }, a.name) : a.name), " ", el("span", { class: "meta" }, meta)),
    el("p", { class: "cause" }, a.cause),
    el("p", { class: "then" }, a.consequence),
    el("p", { class: "do" }, el("b", {}, `${words.action}${words.colon}`), a.action));
  if (a.why) node.append(el("p", { class: "then" }, a.why));
  if (may) node.append(buttons(a));
  return node;
}

function buttons(a) {
  const made = [];
  if (a.may_ack && !a.shelved) made.push(button(a, "ack", () => send("/alarms/ack", { id: a.id, changed_utc_ms: a.changed_utc_ms })));
  if (a.may_shelve) made.push(button(a, "shelve", () => ask(a)));
  if (a.shelved) made.push(button(a, "unshelve", () => send("/alarms/unshelve", { id: a.id })));
  return el("p", { class: "buttons" }, ...made);
}

function button(a, what, act) {
  const made = el("button", { type: "button", "data-do": what, "data-id": a.id, "aria-label": `${words[what]}${words.colon}${a.name}` }, words[what]);
  made.addEventListener("click", act);
  return made;
}

function ask(a) {
  asked = a;
  $("shelve-what").textContent = `${a.name}${words.colon}${a.cause}`;
  $("shelve-why").value = "";
  $("shelve").showModal();
}

function tell(text, bad) {
  $("alarms-told").textContent = text;
  $("alarms-told").toggleAttribute("data-bad", bad);
}

async function send(path, body) {
  let told = { error: words.unreached }, ok = false;
  try {
    const answer = await fetch(path, {
      method: "POST", headers: { "content-type": "application/json", "x-csrf-token": csrf }, body: JSON.stringify(body),
    });
    ok = answer.ok;
    if (answer.headers.get("content-type")?.includes("json")) told = await answer.json();
  } catch { /* no network: told as above */ }
  tell(ok ? told.told : told.error, !ok);
}

$("shelve-form")?.addEventListener("submit", () => {
  send("/alarms/shelve", { id: asked.id, minutes: Number($("shelve-minutes").value), why: $("shelve-why").value.trim() });
});
$("shelve-cancel")?.addEventListener("click", () => $("shelve").close());
