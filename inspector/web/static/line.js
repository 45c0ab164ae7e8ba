import { follow } from "./live.js";
import { alarms } from "./alarms.js";
import { adopt, facts, picture, states, strip, verdict } from "./draw.js";
import * as counts from "./counts.js";
import * as heat from "./heat.js";
import * as box from "./stations.js";
import "./inplace.js";
import "./vendor/htmx/htmx.min.js"; // before DOMContentLoaded, for which it waits, as all that a module in the page imports

const KEEP = 100; // thumbnails in the filmstrip
const $ = (id) => document.getElementById(id);
const board = $("board");
const words = JSON.parse(board.dataset.words);
const now = { freshness: "offline", status: null, parts: [], lastFail: null, assets: null };

function show() {
  const part = newest();
  const old = now.freshness !== "live";
  board.toggleAttribute("data-old", old);
  box.freshness(old ? { sign: now.freshness, ...words[now.freshness] } : null);
  if (now.status) standing(old);
  const judged = !old && now.status.ready && part ? part : null;
  const shown = judged ?? (old ? { sign: now.freshness, ...words[now.freshness] } : now.status);
  verdict(shown, judged, words);
  box.own(board.dataset.station, shown); // with the big word, not after it
}

function standing(old) { // what a silent daemon said of its parts and its mode may be true no more
  const { status } = now, mode = $("mode");
  mode.hidden = old;
  mode.textContent = status.mode_text;
  mode.toggleAttribute("data-watch", status.mode !== "inspect");
  states(old ? status.states.map((s) => ({ ...s, state: "unknown", mark: words.notknown, text: "" })) : status.states, words);
}

function newest() { // of this life of the daemon: a part from before is in the filmstrip, and no news
  return now.parts[0]?.past ? undefined : now.parts[0];
}

function addPart(part) {
  now.parts.unshift(part);
  now.parts.length = Math.min(now.parts.length, KEEP);
  if (part.sign === "fail") now.lastFail = part;
}

function showParts() {
  picture(newest(), words);
  strip(now.parts, now.lastFail, words);
}

adopt();
heat.setUp(showParts);
counts.setUp();
follow(board.dataset.events, {
  hello(data) {
    if (now.assets && data.assets !== now.assets) location.reload(); // the appliance was updated
    now.assets = data.assets;
    now.parts = data.parts.slice(0, KEEP);
    now.lastFail = data.last_fail;
    showParts();
    if (now.status) show();
  },
  part(part) {
    addPart(part);
    if (now.status) show();
    showParts();
  },
  status(status) {
    if (status.tabs.length && !board.dataset.station) location.reload(); // of several the address says which
    now.status = status;
    $("station").textContent = status.station;
    $("product").textContent = status.product;
    $("product").parentElement.title = $("product").parentElement.textContent.trim(); // a long one is cut off
    $("clock").textContent = status.clock;
    $("simulated").hidden = !status.simulated;
    board.toggleAttribute("data-calm", status.alarms.length === 0);
    counts.counts(status, words);
    box.stations(status.tabs, status.station, words);
    standing(now.freshness !== "live");
    facts(status.facts);
    alarms(status);
    if (now.freshness === "live") show();
  },
  freshness(state) {
    now.freshness = state;
    show();
  },
});
