// The live stream. Freshness is the daemon's: only its status message, once a second, holds STALE off.
const STALE_AFTER_MS = 1800; // with the check below: on the screen within 2 s
const CHECK_EVERY_MS = 100;
const RETRY_MS = 700;

export function follow(url, on) {
  let source = null;
  let lastStatus = -Infinity;
  let up = true;
  let shown = "";

  function open() {
    source = new EventSource(url);
    source.addEventListener("hello", (e) => on.hello(JSON.parse(e.data)));
    source.addEventListener("part", (e) => on.part(JSON.parse(e.data)));
    source.addEventListener("status", (e) => {
      const status = JSON.parse(e.data);
      lastStatus = performance.now() - status.age_ms;
      up = true;
      on.status(status);
      tell();
    });
    source.addEventListener("gone", () => on.gone?.());
    source.addEventListener("link", (e) => {
      up = JSON.parse(e.data).up;
      tell();
    });
    source.onerror = () => { // also after a 503, where EventSource itself would give up
      source.close();
      setTimeout(open, RETRY_MS * (1 + Math.random()));
    };
  }

  function tell() {
    const state = !up ? "offline" : performance.now() - lastStatus > STALE_AFTER_MS ? "stale" : "live";
    if (state !== shown) {
      shown = state;
      on.freshness(state);
    }
  }

  setInterval(tell, CHECK_EVERY_MS);
  open();
}
