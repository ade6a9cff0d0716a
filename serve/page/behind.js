// What stands behind a board: the first place, who beats whom, rating against cost, a user's own record, learning curves.
import { at, call, counted, made, query } from "./dom.js";

const COLOURS = ["#0b66b0", "#b3401a", "#0a7a4a", "#8a4fbf", "#a06a00", "#c2347b", "#4d7f8c", "#6b6b6b"];
const MOST = 25; // models of the matrix

export async function firstPlace(state) {
  const found = await call(query("v1/first-place", { segment: state.boardOf }));
  at("sure").hidden = !found.first;
  if (!found.first) return;
  const lines = [];
  if (found.needed === null) lines.push(`${found.first} and ${found.second} are as good as tied.`);
  else if (found.needed <= found.votes) lines.push(`${found.first} is surely ahead of ${found.second}, by ${found.lead.toFixed(0)} points.`);
  else lines.push(`${found.first} is ahead of ${found.second} by ${found.lead.toFixed(0)} points, which is not sure yet: about ${(found.needed - found.votes).toLocaleString()} more votes would show it, if the lead is as large as it seems.`);
  if (found.flipped_by !== null) {
    const share = (100 * found.flipped_by) / found.votes;
    lines.push(`Without ${counted(found.flipped_by, "vote")} of ${found.votes.toLocaleString()} (${share.toPrecision(2)}%), ${found.rival} would be first.`);
  }
  at("sure-text").textContent = lines.join(" ");
}

export async function matrix(state) {
  const found = await call(query("v1/matrix", { segment: state.boardOf }));
  const size = Math.min(MOST, found.models.length);
  at("versus").hidden = size < 2;
  if (size < 2) return;
  const shown = found.models.slice(0, size);
  const head = made("tr", {}, made("td"), ...shown.map((name, i) => made("th", { scope: "col", title: name }, String(i + 1))));
  const rows = shown.map((name, i) => made("tr", {}, made("th", { scope: "row", class: "text" }, `${i + 1}. ${name}`), ...shown.map((other, j) => {
    const battles = found.battles[i][j];
    if (i === j || !battles) return made("td", { class: "none" }, i === j ? "" : "·");
    const share = found.won[i][j] / battles;
    const cell = made("td", { title: `${name} won ${(100 * share).toFixed(0)}% of ${battles.toFixed(0)} battles with ${other}` }, (100 * share).toFixed(0));
    cell.style.setProperty("--share", `${Math.round(Math.abs(share - 0.5) * 140)}%`);
    cell.className = share >= 0.5 ? "ahead" : "behind";
    return cell;
  })));
  at("matrix").replaceChildren(made("thead", {}, head), made("tbody", {}, ...rows));
}

export async function record(state) {
  at("record").hidden = !state.user;
  if (!state.user) return;
  const found = await call(`v1/users/${encodeURIComponent(state.user)}/record`);
  at("record").hidden = !found.votes;
  at("record-title").textContent = `How ${state.user} voted`;
  at("record-rows").replaceChildren(...found.records.map((row) => {
    const met = row.won + row.tied + row.lost, more = row.won + row.tied / 2 - row.expected;
    const told = Math.abs(more) < 0.5 ? "as expected" : `${Math.abs(more).toFixed(1)} ${more > 0 ? "more" : "fewer"} than expected`;
    return made("tr", {}, made("th", { scope: "row", class: "text" }, row.model), made("td", {}, String(met)), made("td", {}, String(row.won)),
      made("td", {}, String(row.tied)), made("td", {}, String(row.lost)), made("td", { class: `text ${Math.abs(more) < 0.5 ? "" : more > 0 ? "up" : "down"}` }, told));
  }));
}

export function frontier(board) {
  const rows = board.filter((row) => row.cost !== null);
  at("worth").hidden = rows.length < 2;
  if (rows.length < 2) return;
  const costs = rows.map((row) => row.cost), ratings = rows.map((row) => row.rating);
  const [left, right, low, high] = [Math.min(...costs), Math.max(...costs), Math.min(...ratings), Math.max(...ratings)];
  // Where costs span more than tenfold, each step of the axis is a factor.
  const scaled = left > 0 && right > 10 * left ? Math.log : (cost) => cost;
  const x = (cost) => 50 + (420 * (scaled(cost) - scaled(left))) / (scaled(right) - scaled(left) || 1), y = (rating) => 185 - (165 * (rating - low)) / (high - low || 1);
  const svg = made("svg", { viewBox: "0 0 560 225", role: "img", "aria-label": "rating by cost of an answer" });
  svg.append(made("line", { class: "axis", x1: 44, x2: 540, y1: 192, y2: 192 }));
  for (const value of [left, right]) svg.append(made("text", { x: x(value), y: 208, "text-anchor": "middle" }, `$${value.toPrecision(2)}`));
  svg.append(made("text", { x: 260, y: 222, "text-anchor": "middle" }, scaled === Math.log ? "cost of an answer, by factors" : "cost of an answer"));
  for (const value of [low, high]) svg.append(made("text", { x: 40, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(0)));
  const best = rows.filter((row) => !rows.some((other) => other.rating > row.rating && other.cost <= row.cost)).sort((one, other) => one.cost - other.cost);
  svg.append(made("polyline", { class: "frontier", points: best.map((row) => `${x(row.cost)},${y(row.rating)}`).join(" ") }));
  for (const row of rows) {
    svg.append(made("circle", { class: best.includes(row) ? "dot" : "dot away", cx: x(row.cost), cy: y(row.rating), r: 4 }, made("title", {}, `${row.model}: ${row.rating.toFixed(0)}, $${row.cost.toPrecision(2)}`)));
    if (best.includes(row)) svg.append(made("text", { x: x(row.cost) + 6, y: y(row.rating) + 12 }, row.model));
  }
  at("worth-plot").replaceChildren(svg);
}

export function curves(all) {
  const plots = [...new Set(all.map((curve) => curve.metric))].flatMap((metric) => plot(all, metric));
  at("plots").replaceChildren(...plots);
  at("curves").hidden = !plots.length;
}

function plot(all, metric) {
  const own = all.filter((curve) => curve.metric === metric);
  if (!own.some((curve) => curve.votes.length > 1)) return [];
  const votes = own.flatMap((curve) => curve.votes), values = own.flatMap((curve) => [...curve.ci_low, ...curve.ci_high]);
  const [left, right, low, high] = [Math.min(...votes), Math.max(...votes), Math.min(...values), Math.max(...values)];
  const x = (v) => 44 + (300 * (Math.log(v) - Math.log(left))) / (Math.log(right) - Math.log(left) || 1);
  const y = (v) => 180 - (165 * (v - low)) / (high - low || 1);
  const svg = made("svg", { viewBox: "0 0 360 205", role: "img", "aria-label": `${own[0].title} by votes a user` });
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
    return made("li", { title: curve.system }, swatch, curve.label);
  }));
  return [made("figure", {}, made("figcaption", {}, own[0].title), svg, legend)];
}
