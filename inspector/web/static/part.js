// The heat map over the picture: on, off, and how strong.
const heat = document.getElementById("heat");
const toggle = document.getElementById("heat-toggle");
const opacity = document.getElementById("heat-opacity");

toggle.addEventListener("click", () => {
  const on = toggle.getAttribute("aria-pressed") !== "true";
  toggle.setAttribute("aria-pressed", String(on));
  if (on && !heat.src) heat.src = heat.dataset.src;
  heat.hidden = !on;
  opacity.disabled = !on;
});

opacity.addEventListener("input", () => {
  heat.style.opacity = String(opacity.value / 100);
});
