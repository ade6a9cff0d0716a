// An anonymous battle: a visitor's own question, asked of two contestants that are told apart only once the vote is in.
import { at, call, counted, guarded, headers, say } from "./dom.js";

const ROUTER = "electorate";
const asked = { ids: ["", ""], names: ["", ""], user: "" };
let contestants = [];

export async function begin(onVoted) {
  const found = await call("v1/models");
  contestants = found.data.map((model) => model.id).filter((name) => name !== ROUTER);
  at("live").hidden = contestants.length < 2;
  at("ask").onsubmit = guarded(ask);
  for (const button of document.querySelectorAll("[data-better]")) button.onclick = guarded(() => vote(button.dataset.better, onVoted));
}

function two() {
  const first = Math.floor(Math.random() * contestants.length);
  const second = (first + 1 + Math.floor(Math.random() * (contestants.length - 1))) % contestants.length;
  return [contestants[first], contestants[second]];
}

async function ask() {
  const question = at("question").value.trim();
  if (!question) { at("question").focus(); return; }
  // As who votes: a visitor without a name gets one that tells nothing.
  asked.user = at("user").value.trim() || at("persona").value || `visitor-${crypto.randomUUID?.() ?? Math.random()}`;
  asked.names = two();
  asked.ids = ["", ""];
  at("live-answers").hidden = false;
  at("live-told").textContent = "";
  choose(false);
  for (const side of [0, 1]) { at(`live-${side}`).textContent = ""; at(`live-name-${side}`).textContent = "AB"[side]; }
  at("live-answers").setAttribute("aria-busy", "true");
  try { await Promise.all([0, 1].map((side) => stream(side, question))); } finally { at("live-answers").removeAttribute("aria-busy"); }
  if (asked.ids.every(Boolean)) { choose(true); say("Both have answered: which is better?"); }
}

async function stream(side, question) {
  const body = { model: asked.names[side], user: asked.user, stream: true, messages: [{ role: "user", content: question }] };
  const response = await fetch("v1/chat/completions", { method: "POST", body: JSON.stringify(body), headers: headers({ "content-type": "application/json" }) });
  if (!response.ok) throw new Error((await response.json()).error?.message ?? `HTTP ${response.status}`);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines.filter((one) => one.startsWith("data: ") && one !== "data: [DONE]")) {
      const part = JSON.parse(line.slice(6));
      if (part.error) throw new Error("One of the two broke off; ask again.");
      text += part.choices?.[0]?.delta?.content ?? "";
      at(`live-${side}`).textContent = text;
    }
  }
  asked.ids[side] = response.headers.get("x-electorate-id");
}

function choose(may) { for (const button of document.querySelectorAll("[data-better]")) button.disabled = !may; }

async function vote(better, onVoted) {
  const [one, other] = better === "b" ? [1, 0] : [0, 1];
  choose(false);
  const { version } = await call("v1/feedback", { method: "POST", body: JSON.stringify({ better: asked.ids[one], worse: asked.ids[other], tie: better === "tie" }) });
  for (const side of [0, 1]) at(`live-name-${side}`).textContent = `${"AB"[side]}: ${asked.names[side]}`;
  at("live-told").textContent = `A was ${asked.names[0]}, B was ${asked.names[1]}. ${counted(1, "vote")} taken for ${asked.user}.`;
  await onVoted(asked.user, version);
}
