// What htmx leaves open when a piece of a page is replaced: answers that are no piece, no answer at all, focus and place.
const notice = document.getElementById("notice");
const places = new WeakMap(); // request -> where focus and tables stood
const shown = new WeakMap(); // element -> the piece that it shows

const byItself = (detail) => !detail.requestConfig.triggeringEvent; // a piece that keeps itself up to date

function tell(detail, text) {
  notice.dataset.of = byItself(detail) ? "itself" : "person";
  notice.textContent = text;
}

function old(detail, is) { // the piece that asked: what went wrong is told in another place
  if (byItself(detail)) detail.requestConfig.target.toggleAttribute("data-old", is);
}

document.body.addEventListener("htmx:beforeRequest", (event) => {
  if (byItself(event.detail) && document.hidden) event.preventDefault();
});

document.body.addEventListener("htmx:beforeSwap", (event) => {
  const { detail } = event;
  const piece = detail.xhr.getResponseHeader("x-piece") !== null; // a page to log in, or a proxy's error, is none
  detail.shouldSwap = piece;
  detail.isError = !piece;
  old(detail, detail.xhr.status >= 400 || !piece);
  if (!piece) tell(detail, notice.dataset.lost);
  else if (detail.target === notice) tell(detail, "");
  else {
    if (!byItself(detail) || notice.dataset.of === "itself") notice.replaceChildren();
    if (byItself(detail) && shown.get(detail.target) === detail.serverResponse) detail.shouldSwap = false; // what people are in stays
    shown.set(detail.target, detail.serverResponse);
    const scrolls = [...detail.target.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
    places.set(detail.xhr, { focused: detail.target.contains(document.activeElement), scrolls });
  }
});

document.body.addEventListener("htmx:afterSwap", ({ detail }) => {
  const place = places.get(detail.xhr);
  if (!place) return;
  places.delete(detail.xhr);
  [...detail.target.querySelectorAll(".scroll")].forEach((box, i) => { box.scrollLeft = place.scrolls[i] ?? 0; });
  if (place.focused && document.activeElement === document.body) detail.target.focus({ preventScroll: true }); // what had it is gone
});

for (const lost of ["htmx:sendError", "htmx:timeout"]) {
  document.body.addEventListener(lost, ({ detail }) => {
    old(detail, true);
    tell(detail, notice.dataset.lost);
  });
}
