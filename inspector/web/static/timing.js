import uPlot from "./vendor/uplot/uPlot.esm.js";

const HEIGHT = 220;
const LONG_S = 36 * 3600; // from here on the axis needs dates
const two = (n) => String(n).padStart(2, "0");

// The numbers are the station's time as if it were UTC: the browser may stand in another zone.
function stamp(s, dated) {
  const d = new Date(s * 1000);
  const clock = `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}`;
  return dated ? `${two(d.getUTCMonth() + 1)}-${two(d.getUTCDate())} ${clock}` : `${clock}:${two(d.getUTCSeconds())}`;
}

// Each limit as a dashed line with its words, over the grid and the curve.
function limits(box, colour) {
  const told = JSON.parse(box.dataset.limits ?? "[]");
  return (u) => {
    const { ctx } = u, { left, top, width } = u.bbox, dot = devicePixelRatio, high = 16 * dot, gap = 6 * dot;
    ctx.save();
    ctx.lineWidth = 1.5 * dot;
    ctx.font = `${12 * dot}px ${getComputedStyle(box).fontFamily}`;
    ctx.textBaseline = "middle";
    ctx.textAlign = "left"; // the axes leave it as theirs
    for (const [value, text] of told) {
      const y = Math.round(u.valToPos(value, "y", true)), middle = y - high < top ? y + high / 2 + dot : y - high / 2 - dot;
      ctx.setLineDash([6 * dot, 4 * dot]);
      ctx.strokeStyle = colour("--text");
      ctx.beginPath();
      ctx.moveTo(left, y);
      ctx.lineTo(left + width, y);
      ctx.stroke();
      ctx.fillStyle = colour("--panel"); // the curve may be there
      ctx.fillRect(left + gap - 2 * dot, middle - high / 2 + dot, ctx.measureText(text).width + 4 * dot, high - 2 * dot);
      ctx.fillStyle = colour("--text");
      ctx.fillText(text, left + gap, middle);
    }
    ctx.restore();
  };
}

function draw(box) {
  const css = getComputedStyle(document.documentElement);
  const colour = (name) => css.getPropertyValue(name).trim();
  const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
  const options = {
    width: box.clientWidth,
    height: HEIGHT,
    cursor: { drag: { x: true, y: false } },
    scales: { y: { range: box.dataset.scale ? JSON.parse(box.dataset.scale) : (_, __, most) => [0, most * 1.1 || 1] } },
    hooks: { draw: [limits(box, colour)] },
    axes: [
      { ...axis, space: 90, values: (u, marks) => marks.map((s) => stamp(s, u.scales.x.max - u.scales.x.min > LONG_S)) },
      { ...axis, size: 56 },
    ],
    series: [
      { label: box.dataset.x, value: (_, s) => (s === null ? "–" : `${stamp(s, true)}:${two(new Date(s * 1000).getUTCSeconds())}`) },
      { label: box.dataset.y, value: (_, ms) => (ms === null ? "–" : ms.toFixed(1)), stroke: colour("--text"), width: 1, points: { size: 4 } },
    ],
  };
  return new uPlot(options, JSON.parse(box.dataset.points), box);
}

let plot = null;
const sizes = new ResizeObserver(() => plot.setSize({ width: plot.root.parentElement.clientWidth, height: HEIGHT }));

function show() {
  const box = document.getElementById("plot");
  if (box?.hasChildNodes()) return; // drawn already: another piece of the page came
  sizes.disconnect();
  plot?.destroy();
  plot = box && draw(box);
  if (box) sizes.observe(box);
}

show();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { // a canvas keeps the colours it was drawn in
  document.getElementById("plot")?.replaceChildren();
  show();
});
document.body.addEventListener("htmx:afterSwap", show);
