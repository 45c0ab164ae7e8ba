// The heat map over the last picture: on or off, and how strong; this browser remembers both.
const $ = (id) => document.getElementById(id);
const ON = "line.heat", STRENGTH = "line.heat.strength";

export function remembered(key) {
  try { return localStorage.getItem(key); } catch { return null; } // a browser that keeps nothing still shows all
}

export function remember(key, value) {
  try { localStorage.setItem(key, value); } catch { /* it is forgotten, and nothing else */ }
}

export const isOn = () => $("heat-toggle").getAttribute("aria-pressed") === "true";

export function setUp(changed) {
  const toggle = $("heat-toggle"), strength = $("heat-opacity"), heat = $("picture-heat");
  const turn = (on) => {
    toggle.setAttribute("aria-pressed", String(on));
    strength.disabled = !on;
  };
  const blend = () => { heat.style.opacity = String(strength.value / 100); };
  const kept = Number(remembered(STRENGTH));
  if (kept >= Number(strength.min) && kept <= Number(strength.max)) strength.value = kept;
  turn(remembered(ON) === "1");
  blend();
  toggle.addEventListener("click", () => {
    turn(!isOn());
    remember(ON, isOn() ? "1" : "0");
    changed();
  });
  strength.addEventListener("input", () => {
    blend();
    remember(STRENGTH, strength.value);
  });
}
