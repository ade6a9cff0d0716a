// Everyone's board and the user's own: searched, sorted, downloaded.
import { at, call, counted, download, made, query } from "./dom.js";

const before = { global: new Map(), personal: new Map() };
const known = { global: [], personal: [], scale: [0, 1], place: new Map() };
export const view = { find: "", sort: "rating", down: true };

export function forget() {
  before.global.clear();
  before.personal.clear();
}

function interval(row, [low, high]) {
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

function fill(table, rows, cells) {
  at(table).tBodies[0].replaceChildren(...rows.map((row) => {
    const changed = before[table].size && before[table].get(row.model) !== row.rating;
    return made("tr", { "data-model": row.model, ...(changed ? { class: "moved" } : {}) },
      made("td", {}, String(row.rank)), made("th", { scope: "row", class: "text" }, row.model), made("td", {}, row.rating.toFixed(0)), interval(row, known.scale), ...cells(row));
  }));
}

function ordered(rows) {
  const found = rows.filter((row) => row.model.toLowerCase().includes(view.find.toLowerCase()));
  const value = (row) => (view.sort === "model" ? row.model.toLowerCase() : row[view.sort] ?? Infinity);
  return found.sort((one, other) => (value(one) < value(other) ? -1 : value(one) > value(other) ? 1 : 0) * (view.down ? -1 : 1));
}

export function draw() {
  const priced = known.global.some((row) => row.cost !== null);
  at("global").classList.toggle("unpriced", !priced);
  const shown = ordered([...known.global]);
  fill("global", shown, (row) => [
    made("td", {}, row.rank_low === row.rank_high ? String(row.rank_low) : `${row.rank_low} to ${row.rank_high}`),
    made("td", {}, row.votes.toLocaleString()),
    made("td", { class: "cost" }, row.cost === null ? "" : `$${row.cost.toPrecision(2)}`),
  ]);
  at("found").textContent = view.find ? `${shown.length} of ${counted(known.global.length, "model")}` : "";
  fill("personal", known.personal.filter((row) => row.model.toLowerCase().includes(view.find.toLowerCase())), (row) => [
    made("td", {}, `${(100 * row.p_top1).toFixed(0)}%`), moved(known.place.get(row.model) - row.rank),
  ]);
  for (const button of document.querySelectorAll("#global [data-sort]")) {
    const is = button.dataset.sort === view.sort;
    button.closest("th").setAttribute("aria-sort", is ? (view.down ? "descending" : "ascending") : "none");
  }
}

export function sortBy(name) {
  view.down = view.sort === name ? !view.down : !["model", "rank", "cost"].includes(name);
  view.sort = name;
  draw();
}

export async function load(state, minVersion) {
  const min_version = minVersion ?? "";
  const whose = state.user || "nobody in particular";
  const [everyone, own] = await Promise.all([
    call(query("v1/leaderboard", { min_version, segment: state.boardOf })),
    call(query(`v1/users/${encodeURIComponent(whose)}/ranking`, { segment: state.segment, min_version })),
  ]);
  for (const table of ["global", "personal"]) before[table] = new Map(known[table].map((row) => [row.model, row.rating]));
  known.global = everyone.leaderboard.map((row, i) => ({ ...row, rank: i + 1 }));
  known.personal = own.ranking;
  known.place = new Map(known.global.map((row) => [row.model, row.rank]));
  const rows = [...known.global, ...known.personal];
  known.scale = [Math.min(...rows.map((row) => row.ci_low)), Math.max(...rows.map((row) => row.ci_high))];
  draw();
  at("global-title").textContent = state.boardOf ? `For ${state.boardOf}` : "For everyone";
  at("global-note").textContent = `${counted(everyone.votes, "vote")} came in here. The higher the rating, the more often a model is preferred; the bar is where the rating lies with 95% certainty.`;
  at("personal-title").textContent = state.user ? `For ${state.user}` : "For one user";
  const note = own.note && `${own.note[0].toUpperCase()}${own.note.slice(1)}`;
  const rests = own.personal ? `Based on ${counted(own.votes, "vote")} of this user${own.segment ? ` (${own.segment})` : ""}` : note;
  at("personal-note").textContent = own.stale ? `${rests}; trained on votes that were erased later` : rests;
  differences();
  return known;
}

function differences() {
  const gaps = known.personal.map((row) => ({ model: row.model, places: known.place.get(row.model) - row.rank })).filter((gap) => gap.places);
  gaps.sort((one, other) => Math.abs(other.places) - Math.abs(one.places));
  const lines = gaps.map(({ model, places }) => `${model}: ${counted(Math.abs(places), "place")} ${places > 0 ? "higher" : "lower"} than on the board beside it`);
  at("differ").replaceChildren(...(lines.length ? lines : ["nowhere: it is the same order"]).map((line) => made("li", {}, line)));
}

const COLUMNS = ["rank", "model", "rating", "ci_low", "ci_high", "rank_low", "rank_high", "votes", "cost"];
// A spreadsheet would run a cell that begins like a formula.
const cell = (value) => {
  const text = String(value ?? "");
  const safe = /^[=+@\t\r-]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
  return /[",\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

export function save(kind) {
  const rows = ordered([...known.global]);
  if (kind === "json") { download("leaderboard.json", "application/json", JSON.stringify(rows, null, 1)); return; }
  const lines = [COLUMNS.join(","), ...rows.map((row) => COLUMNS.map((name) => cell(row[name])).join(","))];
  download("leaderboard.csv", "text/csv", `${lines.join("\n")}\n`);
}
