// Writes of a page to its own server, and small things that go with them.
const csrf = document.querySelector('meta[name="csrf"]')?.content ?? "";
const AGAIN_MS = 1000;

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));
export const newTicket = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");
export const filled = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);

// Posts until there is an answer: a server that is starting again keeps what has this ticket already just once.
export function makePost(tryingAgain) {
  return async function post(path, body) {
    for (;;) {
      try {
        const headers = { "content-type": "application/json", "x-csrf-token": csrf };
        const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
        const said = await answer.json();
        if (answer.status !== 503) return { ok: answer.ok, ...said };
      } catch (problem) {
        if (!(problem instanceof TypeError || problem instanceof SyntaxError)) throw problem;
      }
      tryingAgain();
      await pause(AGAIN_MS);
    }
  };
}
