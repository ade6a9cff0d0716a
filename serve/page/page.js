// The page: who looks, at which board, and votes on battles.
import * as behind from "./behind.js";
import * as boards from "./boards.js";
import { at, call, guarded, made, query, say } from "./dom.js";
import * as live from "./live.js";

const state = { user: "", segment: "", boardOf: "", battle: null, turn: 0, hasBattles: false };

async function nextBattle() {
  state.turn += 1;
  if (!state.hasBattles) return;
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
  await boards.load(state, version);
  await behind.record(state);
  say(`Taken: ${a.model} was A, ${b.model} was B. The rankings count it.`);
  await nextBattle();
}

// The view is in the address, so that it can be sent to somebody.
function remember() {
  const given = { user: state.user, segment: state.segment, board: state.boardOf, find: boards.view.find };
  const sorted = boards.view.sort === "rating" && boards.view.down ? {} : { sort: boards.view.sort, down: String(boards.view.down) };
  history.replaceState(null, "", query("", { ...given, ...sorted }).replace("?", "#") || "#");
}

function recall() {
  const given = new URLSearchParams(location.hash.slice(1));
  state.user = given.get("user") ?? "";
  state.segment = given.get("segment") ?? "";
  state.boardOf = given.get("board") ?? "";
  boards.view.find = given.get("find") ?? "";
  boards.view.sort = given.get("sort") ?? "rating";
  boards.view.down = (given.get("down") ?? "true") === "true";
  at("user").value = state.user;
  at("find").value = boards.view.find;
}

async function begin() {
  const about = await call("v1/about");
  state.hasBattles = about.personas > 0;
  recall();
  for (const { name, personas } of about.segments) {
    const group = made("optgroup", { label: name });
    group.append(...personas.map((persona) => made("option", { value: persona }, `${persona} (${name})`)));
    at("persona").append(group);
    for (const select of ["segment", "board-of"]) at(select).append(made("option", { value: name }, name));
  }
  at("with-personas").hidden = !about.personas;
  for (const part of ["with-segments", "boards-by-segment"]) at(part).hidden = !about.segments.length;
  at("segment").value = state.segment;
  at("board-of").value = state.boardOf;
  behind.curves(about.curves);
  await show("");
  await live.begin(voted);
}

async function voted(user, version) {
  state.user = user;
  at("user").value = user;
  await boards.load(state, version);
  await behind.record(state);
  remember();
}

async function show(told) {
  boards.forget();
  remember();
  const known = await boards.load(state);
  behind.frontier(known.global);
  await nextBattle();
  await Promise.all([behind.firstPlace(state), behind.matrix(state), behind.record(state)]);
  say(told ?? (state.user ? `This is ${state.user}.` : ""));
}

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
at("board-of").addEventListener("change", guarded(async () => {
  state.boardOf = at("board-of").value;
  await show(state.boardOf ? `The board is ${state.boardOf}'s.` : "The board is everyone's.");
}));
at("with-key").addEventListener("submit", guarded(async () => {
  sessionStorage.setItem("key", at("key").value);
  at("with-key").hidden = true;
  await begin();
}));
at("find").addEventListener("input", () => { boards.view.find = at("find").value.trim(); boards.draw(); remember(); });
for (const button of document.querySelectorAll("[data-sort]")) button.addEventListener("click", () => { boards.sortBy(button.dataset.sort); remember(); });
for (const button of document.querySelectorAll("[data-save]")) button.addEventListener("click", () => boards.save(button.dataset.save));
at("link").addEventListener("click", guarded(async () => {
  await navigator.clipboard.writeText(location.href);
  say("The link to this view is copied.");
}));
at("next").addEventListener("click", guarded(nextBattle));
for (const button of document.querySelectorAll("[data-winner]")) button.addEventListener("click", guarded(() => vote(button.dataset.winner)));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
  const winner = { a: "model_a", b: "model_b", t: "tie", x: "both_bad" }[event.key];
  if (winner) guarded(() => vote(winner))(event);
});
guarded(begin)();
