// One box on a picture, by mouse, finger or keys. The drawing has the picture's own pixels as its measure.
const START = 0.3; // of the picture, for a box that keys begin
const STEP = 0.02;
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export function makeBox(stage, ink, rect, changed, moved = () => {}) {
  let width = 1;
  let height = 1;
  let sides = null; // x, y, w, h
  let from = null; // where a drag began
  let drawing = false;

  function draw() {
    rect.toggleAttribute("hidden", !sides);
    ["x", "y", "width", "height"].forEach((name, i) => rect.setAttribute(name, sides ? sides[i] : 0));
    moved(sides);
  }

  function set(x, y, w, h) {
    const left = Math.min(Math.max(Math.round(x), 0), width - 1);
    const top = Math.min(Math.max(Math.round(y), 0), height - 1);
    sides = [left, top, Math.min(Math.max(Math.round(w), 1), width - left), Math.min(Math.max(Math.round(h), 1), height - top)];
    draw();
  }

  function turn(on) {
    drawing = on;
    stage.toggleAttribute("data-draw", on);
    changed(on);
  }

  function at(event) {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(ink.getScreenCTM().inverse());
    return [point.x, point.y];
  }

  ink.addEventListener("pointerdown", (event) => {
    if (!drawing) return;
    from = at(event);
    ink.setPointerCapture(event.pointerId);
  });
  ink.addEventListener("pointermove", (event) => {
    if (!from) return;
    const [x, y] = at(event);
    const [left, top] = [Math.max(0, Math.min(x, from[0])), Math.max(0, Math.min(y, from[1]))];
    set(left, top, Math.max(x, from[0]) - left, Math.max(y, from[1]) - top);
  });
  ink.addEventListener("pointerup", () => {
    from = null;
  });

  return {
    size(w, h) {
      [width, height] = [w, h];
      ink.setAttribute("viewBox", `0 0 ${w} ${h}`);
    },
    value: () => sides,
    put(given) { // x, y, w, h, or null; does not begin to draw
      if (given) set(...given);
      else {
        sides = null;
        draw();
      }
    },
    clear() {
      sides = from = null;
      draw();
      turn(false);
    },
    toggle() {
      if (!drawing && !sides) set(width * (0.5 - START / 2), height * (0.5 - START / 2), width * START, height * START);
      turn(!drawing);
    },
    keyed(event) { // true: it was for the box
      if (!drawing) return false;
      if (event.key === "Enter") turn(false);
      else if (event.key === "Escape") this.clear();
      else if (MOVES[event.key] && sides) {
        const [dx, dy] = [MOVES[event.key][0] * Math.max(1, width * STEP), MOVES[event.key][1] * Math.max(1, height * STEP)];
        const [x, y, w, h] = sides;
        if (event.shiftKey) set(x, y, w + dx, h + dy);
        else set(Math.min(x + dx, width - w), Math.min(y + dy, height - h), w, h);
      } else return false;
      return true;
    },
  };
}
