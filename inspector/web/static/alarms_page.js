// The page of alarms: the list follows the stream, and the record beside it is read anew when the list has changed.
import { alarms } from "./alarms.js";
import { follow } from "./live.js";

const $ = (id) => document.getElementById(id);
const LATER_MS = 1000; // the journal is on the disk by then
let assets = null, before = null, timer = 0;

async function readAgain() {
  try {
    const answer = await fetch("/alarms/record");
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("record");
    if (fresh) $("record").replaceWith(fresh);
  } catch { /* no network: the stream says so */ }
}

follow("/events", {
  hello(data) {
    if (assets && data.assets !== assets) location.reload(); // the appliance was updated
    assets = data.assets;
  },
  part() {},
  reasons() {},
  status(status) {
    alarms(status);
    const now = JSON.stringify([status.alarms, status.shelved].map((list) => list.map((a) => [a.id, a.changed_utc_ms])));
    if (before !== null && now !== before) {
      clearTimeout(timer);
      timer = setTimeout(readAgain, LATER_MS);
    }
    before = now;
  },
  freshness(state) {
    const live = state === "live";
    $("stale").hidden = live;
    $("stale").textContent = live ? "" : $("stale").dataset[state];
    document.body.toggleAttribute("data-old", !live);
  },
});
