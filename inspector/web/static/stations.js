// The stations of the box: the one of this screen, and what each other one shows now, with word and shape.
import { el, sign } from "./draw.js";

const bar = document.getElementById("stations");
let told = []; // of the last status
let colon = "";
let old = null; // what is shown of all while there is no news
let mine = { station: "", shown: null }; // what the big word of this screen shows

function link(name, here) {
  const made = el("a", { href: `/?station=${encodeURIComponent(name)}`, "data-station": name },
    sign("offline"), el("span", { class: "name" }, name), " ", el("span", { class: "word" }));
  if (name === here) made.setAttribute("aria-current", "page");
  return made;
}

function show() {
  for (const one of told) {
    const tab = bar.querySelector(`[data-station="${CSS.escape(one.station)}"]`), shown = old ?? (one.station === mine.station ? mine.shown : one);
    tab.dataset.sign = shown.sign;
    tab.toggleAttribute("data-urgent", Boolean(shown.urgent));
    tab.title = `${one.station}${colon}${shown.word}, ${shown.text}`;
    tab.querySelector("use").setAttribute("href", `#sign-${shown.sign}`);
    const text = tab.querySelector(".word");
    if (text.textContent !== shown.word) text.textContent = shown.word;
  }
}

export function stations(tabs, here, words) { // drawn anew only where there are others
  const names = tabs.map((one) => one.station);
  if ([...bar.children].map((tab) => tab.dataset.station).join("\n") !== names.join("\n"))
    bar.replaceChildren(...names.map((name) => link(name, here)));
  bar.hidden = names.length < 2;
  told = tabs;
  colon = words.colon;
  show();
}

export function own(station, shown) {
  mine = { station, shown };
  show();
}

export function freshness(shown) { // null: live; what is old must not look like news
  old = shown;
  show();
}
