// Everything that came from elsewhere goes onto the page as text, never as markup.
const at = (id) => document.getElementById(id);
const COLOURS = ["#0b66b0", "#b3401a", "#0a7a4a", "#8a4fbf", "#a06a00", "#c2347b", "#4d7f8c", "#6b6b6b"];
const state = { user: "", segment: "", battle: null, turn: 0, order: new Map() };

function made(tag, attributes = {}, ...children) {
  const svg = ["svg", "line", "circle", "polyline", "polygon", "text", "title"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function counted(votes) { return `${votes.toLocaleString()} ${votes === 1 ? "vote" : "votes"}`; }

function say(text) { at("status").textContent = text; }

async function call(path, options = {}) {
  const key = sessionStorage.getItem("key");
  const headers = { ...(options.body ? { "content-type": "application/json" } : {}), ...(key ? { authorization: `Bearer ${key}` } : {}) };
  const response = await fetch(path, { ...options, headers });
  const body = await response.json();
  if (response.status === 401) at("with-key").hidden = false;
  if (!response.ok) throw new Error(body.detail);
  return body;
}

function query(path, values) {
  const given = Object.entries(values).filter(([, value]) => value !== "" && value !== undefined);
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

function interval(row, low, high) {
  const x = (value) => 2 + (96 * (value - low)) / Math.max(1, high - low);
  const text = `${row.ci_low.toFixed(0)} to ${row.ci_high.toFixed(0)}`;
  return made("td", { class: "interval" }, made("svg", { viewBox: "0 0 100 10", role: "img", "aria-label": text, preserveAspectRatio: "none" },
    made("title", {}, text),
    made("line", { class: "span", x1: x(row.ci_low), x2: x(row.ci_high), y1: 5, y2: 5 }),
    made("circle", { class: "dot", cx: x(row.rating), cy: 5, r: 3.5 })));
}

function moved(places) {
  if (!places) return made("td", { class: "text" }, "");
  return made("td", { class: `text ${places > 0 ? "up" : "down"}` }, places > 0 ? `▲ ${places}` : `▼ ${-places}`);
}

function fill(table, rows, [low, high], cells) {
  const before = state.order.get(table) ?? new Map();
  at(table).tBodies[0].replaceChildren(...rows.map((row, i) => {
    const changed = before.size && before.get(row.model) !== row.rating;
    return made("tr", { "data-model": row.model, ...(changed ? { class: "moved" } : {}) },
      made("td", {}, String(i + 1)), made("td", {}, row.model), made("td", {}, row.rating.toFixed(0)), interval(row, low, high), ...cells(row, i));
  }));
  state.order.set(table, new Map(rows.map((row) => [row.model, row.rating])));
}

async function boards(minVersion) {
  const min_version = minVersion ?? "";
  const whose = state.user || "nobody in particular";
  const [everyone, own] = await Promise.all([
    call(query("v1/leaderboard", { min_version })),
    call(query(`v1/users/${encodeURIComponent(whose)}/ranking`, { segment: state.segment, min_version })),
  ]);
  const rows = [...everyone.leaderboard, ...own.ranking];
  const scale = [Math.min(...rows.map((row) => row.ci_low)), Math.max(...rows.map((row) => row.ci_high))];
  fill("global", everyone.leaderboard, scale, () => []);
  const place = new Map(everyone.leaderboard.map((row, i) => [row.model, i]));
  fill("personal", own.ranking, scale, (row, i) => [made("td", {}, `${(100 * row.p_top1).toFixed(0)}%`), moved(place.get(row.model) - i)]);
  at("global-note").textContent = `Bradley-Terry; ${counted(everyone.votes)} came online`;
  at("personal-title").textContent = state.user ? `${state.user}'s own` : "The user's own";
  const rests = own.personal ? `${own.system}, on ${counted(own.votes)} of this user${own.segment ? ` (${own.segment})` : ""}` : `${own.system}: ${own.note}`;
  at("personal-note").textContent = own.stale ? `${rests}; trained on votes erased since` : rests;
  differences(own.ranking, place);
}

function differences(ranking, place) {
  const gaps = ranking.map((row, i) => ({ model: row.model, places: place.get(row.model) - i })).filter((gap) => gap.places);
  gaps.sort((one, other) => Math.abs(other.places) - Math.abs(one.places));
  const lines = gaps.map(({ model, places }) => `${model}: ${Math.abs(places)} ${Math.abs(places) === 1 ? "place" : "places"} ${places > 0 ? "higher" : "lower"} than for everyone`);
  at("differ").replaceChildren(...(lines.length ? lines : ["nowhere: it is the same order"]).map((line) => made("li", {}, line)));
}

async function nextBattle() {
  state.turn += 1;
  try {
    state.battle = await call(query("v1/battle", { user_id: state.user, seed: state.turn }));
  } catch {
    at("battle").hidden = true;
    return;
  }
  at("battle").hidden = false;
  at("prompt").textContent = state.battle.prompt;
  for (const side of ["a", "b"]) {
    at(side).textContent = state.battle[side].response;
    at(`${side}-title`).textContent = side.toUpperCase();
  }
}

async function vote(winner) {
  if (!state.battle) return;
  if (!state.user) { say("Pick a persona or give a user a name first: a vote is somebody's."); at("user").focus(); return; }
  const { prompt_id, a, b } = state.battle;
  const ballot = { id: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`, user_id: state.user, model_a: a.model, model_b: b.model, winner, prompt_id };
  if (state.segment) ballot.segment = state.segment;
  const { version } = await call("v1/votes", { method: "POST", body: JSON.stringify({ votes: [ballot] }) });
  await boards(version);
  say(`Taken: ${a.model} was A, ${b.model} was B. The rankings count it.`);
  await nextBattle();
}

function plot(curves, metric) {
  const own = curves.filter((curve) => curve.metric === metric);
  if (!own.some((curve) => curve.votes.length > 1)) return [];
  const votes = own.flatMap((curve) => curve.votes), values = own.flatMap((curve) => [...curve.ci_low, ...curve.ci_high]);
  const [left, right, low, high] = [Math.min(...votes), Math.max(...votes), Math.min(...values), Math.max(...values)];
  const x = (v) => 44 + (300 * (Math.log(v) - Math.log(left))) / (Math.log(right) - Math.log(left) || 1);
  const y = (v) => 180 - (165 * (v - low)) / (high - low || 1);
  const svg = made("svg", { viewBox: "0 0 360 205", role: "img", "aria-label": `${metric} by votes a user` });
  svg.append(made("line", { class: "axis", x1: 44, x2: 350, y1: 182, y2: 182 }));
  for (const v of new Set(votes)) svg.append(made("text", { x: x(v), y: 198, "text-anchor": "middle" }, String(v)));
  for (const v of [low, (low + high) / 2, high]) svg.append(made("text", { x: 38, y: y(v) + 4, "text-anchor": "end" }, Math.abs(v) < 10 ? v.toFixed(2) : v.toFixed(0)));
  own.forEach((curve, i) => {
    const colour = COLOURS[i % COLOURS.length], points = (of) => curve.votes.map((v, j) => `${x(v)},${y(of[j])}`);
    svg.append(made("polygon", { points: [...points(curve.ci_low), ...points(curve.ci_high).reverse()].join(" "), fill: colour }));
    svg.append(made("polyline", { points: points(curve.value).join(" "), stroke: colour }));
  });
  const legend = made("ul", { class: "legend" }, ...own.map((curve, i) => {
    const swatch = made("i");
    swatch.style.background = COLOURS[i % COLOURS.length];
    return made("li", {}, swatch, curve.system);
  }));
  return [made("figure", {}, made("figcaption", {}, metric.replaceAll("_", " ")), svg, legend)];
}

async function begin() {
  const about = await call("v1/about");
  for (const { name, personas } of about.segments) {
    const group = made("optgroup", { label: name });
    group.append(...personas.map((persona) => made("option", { value: persona }, `${persona} (${name})`)));
    at("persona").append(group);
    at("segment").append(made("option", { value: name }, name));
  }
  const plots = ["kendall_tau", "regret"].flatMap((metric) => plot(about.curves, metric));
  at("plots").replaceChildren(...plots);
  at("curves").hidden = !plots.length;
  await boards();
  await nextBattle();
}

async function show() {
  state.order.clear();
  await boards();
  await nextBattle();
  say(state.user ? `This is ${state.user}.` : "");
}

const guarded = (work) => async (event) => {
  event?.preventDefault?.();
  try { await work(event); } catch (error) { say(error.message); }
};

at("persona").addEventListener("change", guarded(async () => {
  at("user").value = "";
  state.user = at("persona").value;
  await show();
}));
at("who").addEventListener("submit", guarded(async () => {
  state.user = at("user").value.trim() || at("persona").value;
  state.segment = at("segment").value;
  await show();
}));
at("with-key").addEventListener("submit", guarded(async () => {
  sessionStorage.setItem("key", at("key").value);
  at("with-key").hidden = true;
  await begin();
}));
at("next").addEventListener("click", guarded(nextBattle));
for (const button of document.querySelectorAll("[data-winner]")) button.addEventListener("click", guarded(() => vote(button.dataset.winner)));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select")) return;
  const winner = { a: "model_a", b: "model_b", t: "tie", x: "both_bad" }[event.key];
  if (winner) guarded(() => vote(winner))(event);
});
guarded(begin)();
