// Sends one picture, shows what came back. The picture is drawn, not linked: the page may load nothing but its own files.
import { verdict } from "/static/draw.js";

const $ = (id) => document.getElementById(id);
const bench = $("bench"), words = JSON.parse(bench.dataset.words);
const UNKNOWN = "–";
let latest = 0; // only the last picture's answer is shown

function percent(share) {
  return words.percent.replace("{number}", (Math.floor(share * 1000 + 1e-9) / 10).toFixed(1)); // rounded down, as on the line screen
}

function score(name, value) {
  if (name !== "confidence") return value.toFixed(3);
  return (Math.floor(value * 1000 + 1e-9) / 1000).toFixed(3); // just below its limit must not read as the limit
}

async function draw(file) {
  const canvas = $("canvas"), none = $("picture-none");
  $("picture-caption").textContent = file.name;
  try {
    const picture = await createImageBitmap(file);
    canvas.width = picture.width;
    canvas.height = picture.height;
    canvas.getContext("2d").drawImage(picture, 0, 0);
    picture.close();
    canvas.hidden = false;
    none.hidden = true;
  } catch {
    canvas.hidden = true;
    none.hidden = false;
    none.textContent = words.unreadable;
  }
}

function details(answer) {
  for (const item of document.querySelectorAll("[data-class]")) {
    const share = answer ? answer.probabilities[item.dataset.class] : undefined;
    item.querySelector("progress").value = share ?? 0;
    item.querySelector(".value").textContent = share === undefined ? UNKNOWN : percent(share);
    item.toggleAttribute("data-best", Boolean(answer) && answer.class === item.dataset.class);
  }
  for (const item of document.querySelectorAll("[data-score]")) {
    const value = answer ? answer[item.dataset.score] : null;
    item.querySelector(".value").textContent = value === null ? UNKNOWN : score(item.dataset.score, value);
  }
  for (const item of document.querySelectorAll("[data-time]")) {
    item.querySelector(".value").textContent = answer ? `${answer.timing[item.dataset.time].toFixed(1)} ms` : UNKNOWN;
  }
}

function failed(text, hint) {
  verdict({ sign: "fault", word: words.signs.fault, text, hint }, null, words);
  details(null);
}

function judged(answer) {
  const { sign, reason } = answer;
  verdict({ sign, word: words.signs[sign], text: reason.text, hint: reason.hint }, null, words);
  details(answer);
}

async function ask(file) {
  const body = new FormData();
  body.append("file", file);
  try {
    const response = await fetch("/predict", { method: "POST", body });
    const answer = await response.json();
    return response.ok ? () => judged(answer) : () => failed(answer.error, answer.what_to_do);
  } catch {
    return () => failed(words.lost, words["lost.hint"]);
  }
}

async function send(file) {
  const mine = ++latest;
  verdict({ sign: "waiting", word: "…", text: words.judging, hint: words["judging.hint"] }, null, words);
  bench.toggleAttribute("data-busy", true);
  const drawn = draw(file), show = await ask(file);
  await drawn;
  if (mine !== latest) return;
  bench.toggleAttribute("data-busy", false);
  show();
}

const input = $("file"), drop = $("drop");
input.addEventListener("change", () => {
  if (input.files.length) send(input.files[0]);
  input.value = ""; // the same picture may be sent again
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => { // anywhere on the page: a missed target must not open the file instead
    event.preventDefault();
    drop.toggleAttribute("data-over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files.length) send(event.dataTransfer.files[0]);
  });
}

if ($("loading")) setInterval(() => {
  fetch("/readyz").then((answer) => answer.ok && location.reload(), () => {}); // not there yet: ask again
}, 1000);
