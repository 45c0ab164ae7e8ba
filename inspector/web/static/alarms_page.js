// The page of alarms follows the stream.
import { alarms } from "./alarms.js";
import { follow } from "./live.js";

const stale = document.getElementById("stale");
let assets = null;

follow("/events", {
  hello(data) {
    if (assets && data.assets !== assets) location.reload(); // the appliance was updated
    assets = data.assets;
  },
  part() {},
  reasons() {},
  status: alarms,
  freshness(state) {
    const live = state === "live";
    stale.hidden = live;
    stale.textContent = live ? "" : stale.dataset[state];
    document.body.toggleAttribute("data-old", !live);
  },
});
