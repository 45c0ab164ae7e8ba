// How many alarms there are, on whichever screen lists them, and the question for how long one is shelved. Decides nothing.
const $ = (id) => document.getElementById(id);

// A list that is another than the stream tells of is asked for anew, with each status until it came.
export function alarms(status) {
  $("alarms-count").textContent = $("unheeded").textContent = status.unheeded || "";
  $("shelved-count").textContent = status.shelved.length ? $("alarms-card").dataset.shelved.replace("{count}", status.shelved.length) : "";
  const lists = [...document.querySelectorAll("[data-mark]")];
  if (lists.some((list) => list.dataset.mark !== status.alarm_mark)) document.body.dispatchEvent(new Event("alarms"));
}

document.addEventListener("click", (event) => {
  const asked = event.target.closest("[data-do=shelve]");
  if (!asked) return;
  event.preventDefault(); // without us it leads to the page that asks
  $("shelve").close(); // which may stand open
  $("shelve-form").elements.id.value = asked.dataset.id;
  $("shelve-what").textContent = asked.dataset.what;
  $("shelve-why").value = "";
  $("shelve").showModal();
});
$("shelve-form")?.addEventListener("submit", () => $("shelve").close());
$("shelve-cancel")?.addEventListener("click", (event) => {
  event.preventDefault();
  $("shelve").close();
});
