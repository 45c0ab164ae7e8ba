// The live stream. Freshness is the daemon's: only its status message, once a second, holds STALE off.
const STALE_AFTER_MS = 1800; // with the check below: on the screen within 2 s
const CHECK_EVERY_MS = 100;
const RETRY_MS = 700;
const DEAD_MS = 5000; // without a word: a connection that slept with its laptop, or lost its cable, tells nobody of its end

export function follow(url, on) {
  let source = null;
  let lastStatus = -Infinity;
  let lastHeard = 0;
  let up = true;
  let shown = "";

  function open() {
    lastHeard = performance.now();
    source = new EventSource(url);
    hear("hello", on.hello);
    hear("part", on.part);
    hear("status", (status) => {
      lastStatus = performance.now() - status.age_ms;
      up = true;
      on.status(status);
      tell();
    });
    hear("link", (link) => {
      up = link.up;
      tell();
    });
    source.onerror = () => { // also after a 503, where EventSource itself would give up
      source.close();
      setTimeout(open, RETRY_MS * (1 + Math.random()));
      lookAgain();
    };
  }

  function hear(event, act) {
    source.addEventListener(event, (e) => {
      lastHeard = performance.now();
      act(JSON.parse(e.data));
    });
  }

  async function lookAgain() { // an EventSource does not say why it was refused
    try {
      const answer = await fetch(url, { method: "HEAD" });
      if ([401, 404].includes(answer.status)) location.reload(); // the page asks to log in, or says that there is no such station
    } catch { /* nobody there: the screen says so */ }
  }

  function tell() {
    const state = !up ? "offline" : performance.now() - lastStatus > STALE_AFTER_MS ? "stale" : "live";
    if (state !== shown) {
      shown = state;
      on.freshness(state);
    }
  }

  function check() {
    tell();
    if (source.readyState === EventSource.CLOSED || performance.now() - lastHeard < DEAD_MS) return;
    source.close();
    open();
  }

  setInterval(check, CHECK_EVERY_MS);
  open();
}
