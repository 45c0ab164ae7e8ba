// Both register images, live: asked for while somebody looks, one question at a time.
const $ = (id) => document.getElementById(id);
const words = JSON.parse($("controls").dataset.words);
const csrf = document.querySelector('meta[name="csrf"]')?.content ?? "";
const EVERY_MS = 500;
const LIMIT = 500; // rows of the history in the page
const FRESH_MS = 1500;
const ASKED = { online: "confirm.online", offline: "confirm.offline" }; // one starts the line, the other stops it
const SIGNS = { online: "waiting", notready: "notready", offline: "offline" };
const now = { after: 0, name: "", timer: 0, asking: false, again: false };

const station = () => $("station")?.value ?? $("controls").dataset.station;
const query = (more) => new URLSearchParams({ ...(station() ? { station: station() } : {}), ...more }).toString();

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function fresh(node) {
  node.classList.add("fresh");
  clearTimeout(node.freshTimer);
  node.freshTimer = setTimeout(() => node.classList.remove("fresh"), FRESH_MS);
}

const tables = [...document.querySelectorAll("tr[data-name]")].map((row) => ({
  row, block: row.dataset.block, name: row.dataset.name, value: row.querySelector(".value"), hex: row.querySelector(".hex"),
  bits: [...row.querySelectorAll("[data-bit]")],
}));

function showImages(state) {
  const forced = new Set(state.forced.map((f) => f.name));
  for (const t of tables) {
    const found = state[t.block][t.name];
    const key = `${t.block === "stat" ? "STAT" : "CTRL"}.${t.name}`;
    t.row.toggleAttribute("data-forced", forced.has(key));
    if (!found) continue;
    if (t.value && t.value.textContent !== found.value) {
      if (t.row.dataset.seen) fresh(t.value);
      t.value.textContent = found.value || "\u2013";
    }
    setText(t.hex, found.hex);
    for (const bit of t.bits) {
      const on = found.bits.includes(bit.dataset.bit);
      if (t.row.dataset.seen && bit.hasAttribute("data-on") !== on) fresh(bit);
      bit.toggleAttribute("data-on", on);
      bit.toggleAttribute("data-forced", forced.has(`${key}.${bit.dataset.bit}`));
    }
    t.row.dataset.seen = "1";
  }
}

function button(text, name) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.dataset.act = "release";
  made.dataset.name = name;
  return made;
}

function showForced(state) {
  $("forced").hidden = state.forced.length === 0;
  setText($("forced-text"), state.forced_text);
  const key = JSON.stringify(state.forced);
  if ($("forced-list").dataset.key === key) return;
  $("forced-list").dataset.key = key;
  $("forced-list").replaceChildren(...state.forced.map((f) => {
    const item = document.createElement("li");
    item.append(f.text);
    if ($("force")) item.append(" ", button(words.release, f.name));
    return item;
  }));
}

function showState(state) {
  $("state").dataset.state = state.state;
  $("state-sign").setAttribute("href", `#sign-${SIGNS[state.state]}`);
  setText($("state-word"), state.word);
  setText($("state-why"), state.why);
  setText($("link"), state.link);
  setText($("age"), state.age);
  setText($("beat"), state.beat);
  if (!$("force")) return;
  $("offline").hidden = state.held;
  $("online").hidden = !state.held;
  $("force").querySelector("button").disabled = !state.may_force;
  $("run-start").disabled = !state.offline || state.run.busy;
  $("run-abort").disabled = !state.run.busy;
}

function cells(edge) {
  const row = document.createElement("tr");
  row.dataset.side = edge.side;
  for (const key of ["time", "writer", "name", "before", "after"]) {
    const cell = document.createElement("td");
    cell.textContent = edge[key];
    cell.className = key;
    row.append(cell);
  }
  return row;
}

function showEdges(edges) {
  const body = $("edges-body");
  body.prepend(...edges.map(cells));
  while (body.rows.length > LIMIT) body.lastElementChild.remove();
  $("edges-none").hidden = body.rows.length > 0;
}

function showRun(run) {
  $("outcome").hidden = run.state === "none";
  $("outcome").dataset.state = run.state;
  $("outcome-sign").setAttribute("href", `#sign-${run.sign}`);
  setText($("outcome-word"), run.word);
  setText($("outcome-count"), run.count);
  setText($("outcome-why"), run.why);
  $("outcome-progress").max = Math.max(run.parts, 1);
  $("outcome-progress").value = run.done;
  $("outcome-progress").hidden = !run.busy;
  $("outcome-agree").hidden = !(run.state === "done" && run.agree);
  $("outcome-differ").hidden = !(run.state === "done" && !run.agree);
  const key = JSON.stringify([run.codes, run.figures]);
  if ($("outcome").dataset.key === key) return;
  $("outcome").dataset.key = key;
  $("outcome-codes").replaceChildren(...run.codes.map((c) => {
    const item = document.createElement("li");
    item.textContent = `${c.code} ${c.count}`;
    return item;
  }));
  $("outcome-figures").replaceChildren(...run.figures.map(([name, value]) => {
    const row = document.createElement("div");
    for (const [tag, text] of [["dt", name], ["dd", value]]) {
      const cell = document.createElement(tag);
      cell.textContent = text;
      row.append(cell);
    }
    return row;
  }));
}

async function look() {
  clearTimeout(now.timer);
  if (now.asking) {
    now.again = true;
    return;
  }
  now.asking = true;
  const asked = now.name;
  try {
    const answer = await fetch(`/controls/state?${query({ after: now.after, name: asked })}`, { headers: { accept: "application/json" } });
    if (answer.status === 401) location.reload();
    if (!answer.ok) throw new Error(String(answer.status));
    const state = await answer.json();
    $("lost").hidden = true;
    $("controls").toggleAttribute("data-old", false);
    showState(state);
    showForced(state);
    showImages(state);
    showRun(state.run);
    if (asked === now.name && !$("edges-hold").checked) {
      showEdges(state.edges);
      now.after = Math.max(state.no, ...state.edges.map((e) => e.no));
    }
  } catch {
    $("lost").hidden = false;
    $("controls").toggleAttribute("data-old", true);
  }
  now.asking = false;
  const soon = now.again;
  now.again = false;
  now.timer = setTimeout(look, soon ? 0 : EVERY_MS);
}

function begin() {
  now.after = 0;
  now.name = $("edges-name").value;
  $("edges-body").replaceChildren();
  $("edges-csv").href = `/controls/changes.csv?${query({ name: now.name })}`;
  look();
}

async function act(what, sent) {
  let told, bad = true;
  try {
    const answer = await fetch(`/controls/${what}?${query({})}`, {
      method: "POST", headers: { "x-csrf-token": csrf, "content-type": "application/json" }, body: JSON.stringify(sent),
    });
    const found = await answer.json();
    [told, bad] = [found.told ?? found.error, !answer.ok];
  } catch {
    told = words.lost;
  }
  setText($("told"), told);
  $("told").toggleAttribute("data-bad", bad);
  look();
}

document.addEventListener("click", (event) => {
  const pressed = event.target.closest("[data-act]");
  if (!pressed) return;
  const what = pressed.dataset.act;
  if (what in ASKED && !confirm(words[ASKED[what]])) return;
  act(what, what === "release" ? { name: pressed.dataset.name } : {});
});
$("force")?.addEventListener("submit", (event) => {
  event.preventDefault();
  act("force", Object.fromEntries(new FormData(event.target)));
});
$("run")?.addEventListener("submit", (event) => {
  event.preventDefault();
  act("run", Object.fromEntries(new FormData(event.target)));
});
$("edges-form").addEventListener("submit", (event) => event.preventDefault());
$("edges-name").addEventListener("input", begin);
$("station")?.addEventListener("change", () => {
  for (const t of tables) delete t.row.dataset.seen;
  begin();
});
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(now.timer) : look()));
begin();
