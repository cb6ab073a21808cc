// The page: a conversation named in the address, its turns, the newest plan live, and the other views.
// `server.js` talks to the server, `plan.js` and `tree.js` draw, `kill.js` is the view of a server with --allow-chaos.
"use strict";

import { call, link, sleep, start } from "./server.js";
import { watchApprovals } from "./approvals.js";
import { element, plannedBy, stepCard, versionCard, words } from "./plan.js";
import { draw } from "./tree.js";
import * as kill from "./kill.js";

const $ = (id) => document.getElementById(id);
const POLL_MS = 300;
const TREE_MS = 2000;
const WAIT_S = 20;
let conversation = "";
let pending = null;
let view = 0;
let shown = "chat";
let drawn = "";

function complain(words) {
  $("error").textContent = words || "";
  $("error").hidden = !words;
}

const of = (rest) => `/v1/conversations/${encodeURIComponent(conversation)}${rest}`;

function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

function open(id, push) {
  conversation = id;
  view += 1;
  drawn = "";
  pending = null;
  $("conversation").textContent = id;
  if (push) history.pushState(null, "", address());
  if (shown === "kill" && id) kill.enter(id);
  $("turns").replaceChildren();
  $("steps").replaceChildren();
  $("versions").replaceChildren();
  $("plan-status").textContent = "";
  $("planner").textContent = "The plan of the newest turn shows here.";
  $("empty").hidden = false;
  complain("");
  busy(false);
  if (id) reload().catch((error) => { if (error.status !== 404) complain(error.message); });
}

function busy(on) {
  $("cancel").hidden = !on;
}

function turnElement(turn, message) {
  const item = element("li");
  item.dataset.command = turn.command_id || "";
  item.append(element("div", "message", message));
  item.append(element("div", "answer pending", "…"));
  return item;
}

function settle(item, turn) {
  const answer = item.querySelector(".answer");
  answer.className = `answer ${turn.status}`;
  const failed = turn.error ? turn.error.detail : "This turn failed.";
  answer.textContent = turn.status === "answered" ? turn.answer
    : turn.status === "failed" ? failed
    : turn.status === "cancelled" ? "Cancelled." : "…";
}

async function reload() {
  const mine = view;
  const found = await call(of("/history?limit=100"));
  if (mine !== view) return;
  $("turns").replaceChildren();
  $("empty").hidden = found.turns.length > 0;
  let open = null;
  for (const turn of found.turns) {
    const item = turnElement(turn, turn.message);
    settle(item, turn);
    $("turns").append(item);
    if (turn.status === "pending") open = { item, command: turn.command_id };
    if (turn.status === "failed") {
      call(of(`/turns/${turn.turn}`)).then((whole) => settle(item, whole)).catch(() => {});
    }
  }
  if (found.turns.length) showPlan(mine).catch(() => {});
  $("turns").lastElementChild?.scrollIntoView({ block: "nearest" });
  if (open) follow(open.item, open.command, mine).catch((error) => complain(error.message));
}

async function ask(message) {
  const mine = view;
  complain("");
  if (!conversation) {
    open(randomId(), true);
    return ask(message);
  }
  const key = randomId();
  $("empty").hidden = true;
  const item = turnElement({}, message);
  $("turns").append(item);
  item.scrollIntoView({ block: "nearest" });
  busy(true);
  pending = item;
  watch(item, mine);
  const body = JSON.stringify({ message, conversation_id: conversation });
  // Its command id is what the pieces of its answer are asked for with.
  const headers = { "Content-Type": "application/json", "Idempotency-Key": key, Prefer: "respond-async" };
  try {
    const turn = await call("/v1/chat", { method: "POST", body, headers });
    if (mine !== view) return;
    if (turn.status === "pending") return await follow(item, turn.command_id, mine);
    done(item, turn, mine);
  } catch (error) {
    if (mine !== view) return;
    if (!error.status || error.status === 503) {
      settle(item, { status: "failed", error: { detail: `${error.message} Sending it again with the same key…` } });
      await retry(item, body, headers, mine);
      return;
    }
    settle(item, { status: "failed", error: { detail: error.message } });
    pending = null;
    busy(false);
    if (!$("message").value) $("message").value = message;
  }
}

// The same key never makes a second turn, so that asking again is safe.
async function retry(item, body, headers, mine) {
  for (let pause = 1000; mine === view; pause = Math.min(pause * 2, 15000)) {
    await sleep(pause);
    try {
      const turn = await call("/v1/chat", { method: "POST", body, headers });
      if (mine !== view) return;
      settle(item, turn);
      if (turn.status === "pending") return await follow(item, turn.command_id, mine);
      return done(item, turn, mine);
    } catch (error) {
      if (error.status && error.status !== 503) {
        settle(item, { status: "failed", error: { detail: error.message } });
        pending = null;
        return busy(false);
      }
    }
  }
}

async function follow(item, command, mine) {
  pending = item;
  busy(true);
  watch(item, mine);
  const live = pieces(item, command);
  try {
    return await settled(item, command, mine);
  } finally {
    live.close();
  }
}

// Pieces of the answer as they are written. What counts is the turn.
function pieces(item, command) {
  const source = new EventSource(of(`/turns/${encodeURIComponent(command)}/stream`));
  let text = "";
  source.addEventListener("answer_restarted", () => { text = ""; });
  source.addEventListener("answer", (event) => {
    text += JSON.parse(event.data).text;
    if (pending === item) item.querySelector(".answer").textContent = text;
  });
  source.addEventListener("done", () => source.close());
  return source;
}

async function settled(item, command, mine) {
  while (mine === view) {
    try {
      const turn = await call(of(`/turns/${encodeURIComponent(command)}`), { headers: { Prefer: `wait=${WAIT_S}` } });
      if (mine !== view) return;
      if (turn.status !== "pending") return done(item, turn, mine);
    } catch (error) {
      if (error.status && error.status !== 503) throw error;
      await sleep(1000);
    }
  }
}

function done(item, turn, mine) {
  settle(item, turn);
  if (pending === item) {
    pending = null;
    busy(false);
  }
  showPlan(mine).catch(() => {});
  item.scrollIntoView({ block: "nearest" });
}

async function watch(item, mine) {
  while (pending === item && mine === view) {
    await showPlan(mine).catch(() => {});
    await sleep(POLL_MS);
  }
}

async function showPlan(mine) {
  const plan = await call(of("/plan"));
  const now = JSON.stringify(plan);
  if (mine !== view || now === drawn) return;
  drawn = now;
  $("plan-status").textContent = words(plan.status);
  $("plan-status").className = `badge ${plan.status}`;
  $("planner").textContent = plannedBy(plan);
  $("steps").replaceChildren(...plan.steps.map(stepCard));
  const earlier = plan.versions > 1 ? (await call(of(`/turns/${plan.turn}/plans`))).plans.slice(0, -1) : [];
  if (mine === view) $("versions").replaceChildren(...earlier.reverse().map(versionCard));
}

async function showTree() {
  if ($("actors").hidden) return;
  try {
    draw($("tree"), [await call("/admin/v1/actors")], { whole: true, idle: $("idle").checked });
    $("actors-error").hidden = true;
  } catch (error) {
    $("actors-error").textContent = error.message;
    $("actors-error").hidden = false;
  }
}

const VIEWS = ["chat", "actors", "kill"];

function show(name, push) {
  for (const each of VIEWS) {
    $(each).hidden = each !== name;
    $(`show-${each}`).setAttribute("aria-pressed", String(each === name));
  }
  shown = name;
  if (push) history.replaceState(null, "", address());
  if (name === "kill") {
    if (!conversation) open(randomId(), true);
    else kill.enter(conversation);
  } else {
    kill.leave();
  }
  if (name === "actors") showTree();
  if (name === "chat" && push && conversation) reload().catch(() => {});
}

function address() {
  const url = new URL(location.href);
  url.search = "";
  url.hash = "";
  if (conversation) url.searchParams.set("c", conversation);
  if (shown !== "chat") url.searchParams.set("view", shown);
  return url;
}

function showReady() {
  const ready = link.state === "up";
  $("ready").textContent = { up: "ready", gone: "gone", "not-ready": "not ready", unknown: "…" }[link.state];
  $("ready").className = `badge ${ready ? "ready" : "not-ready"}`;
  $("ready").title = link.state === "gone" ? "The server does not answer." : link.why;
  $("show-kill").hidden = !link.about?.allow_chaos;
  if (ready && shown === "kill" && !link.about?.allow_chaos) show("chat", true);
}

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const message = $("message").value;
  if (!message.trim()) return complain("Write something first.");
  $("message").value = "";
  ask(message);
});
$("message").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("ask").requestSubmit();
  }
});
$("cancel").addEventListener("click", async () => {
  try {
    await call(of("/cancel"), { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" });
  } catch (error) {
    complain(error.message);
  }
});
$("new").addEventListener("click", () => {
  if (shown === "kill") return open(randomId(), true);
  open("", true);
  show("chat", true);
  $("message").focus();
});
for (const each of VIEWS) $(`show-${each}`).addEventListener("click", () => show(each, true));
for (const example of document.querySelectorAll(".example")) {
  example.addEventListener("click", () => { $("message").value = example.textContent; $("ask").requestSubmit(); });
}

function fromAddress() {
  const asked = new URL(location.href).searchParams;
  open(asked.get("c") || decodeURIComponent(location.hash.slice(1)), false);
  const name = asked.get("view");
  show(VIEWS.includes(name) ? name : "chat", false);
}

window.addEventListener("popstate", fromAddress);
link.addEventListener("change", showReady);
setInterval(showTree, TREE_MS);
$("idle").addEventListener("change", showTree);
start();
watchApprovals();
fromAddress();
