// The page: a conversation named in the address, its turns, the newest plan live, and the actor tree.
// Everything is written with textContent: nothing that a model says becomes markup.
"use strict";

const $ = (id) => document.getElementById(id);
const POLL_MS = 300;
const TREE_MS = 2000;
const WAIT_S = 20;
let conversation = "";
let pending = null;
let view = 0;

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function complain(words) {
  $("error").textContent = words || "";
  $("error").hidden = !words;
}

async function call(path, options = {}) {
  const headers = { ...(options.headers || {}) };
  const key = sessionStorage.getItem("callboard-key");
  if (key) headers["X-Api-Key"] = key;
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new Error("The server does not answer. It may be starting again; what it accepted is safe.");
  }
  if (response.status === 401) {
    const given = window.prompt("This server asks for a key:");
    if (given) {
      sessionStorage.setItem("callboard-key", given.trim());
      return call(path, options);
    }
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) {
    const error = new Error(body.detail || body.title || `The server answered ${response.status}.`);
    error.status = response.status;
    throw error;
  }
  return body;
}

const of = (rest) => `/v1/conversations/${encodeURIComponent(conversation)}${rest}`;

function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

function open(id, push) {
  conversation = id;
  view += 1;
  pending = null;
  $("conversation").textContent = id;
  const url = new URL(location.href);
  url.search = id ? `?c=${encodeURIComponent(id)}` : "";
  url.hash = "";
  if (push) history.pushState(null, "", url);
  $("turns").replaceChildren();
  $("steps").replaceChildren();
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
  const headers = { "Content-Type": "application/json", "Idempotency-Key": key, Prefer: `wait=${WAIT_S}` };
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
    await new Promise((resolve) => setTimeout(resolve, pause));
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
  while (mine === view) {
    try {
      const turn = await call(of(`/turns/${encodeURIComponent(command)}`), { headers: { Prefer: `wait=${WAIT_S}` } });
      if (mine !== view) return;
      if (turn.status !== "pending") return done(item, turn, mine);
    } catch (error) {
      if (error.status && error.status !== 503) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000));
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
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function brief(value) {
  if (value === null || value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

async function showPlan(mine) {
  const plan = await call(of("/plan"));
  if (mine !== view) return;
  $("plan-status").textContent = plan.status;
  $("plan-status").className = `badge ${plan.status}`;
  const by = plan.planner ? `planned by ${plan.planner.provider}${plan.planner.model ? " " + plan.planner.model : ""}` : "no plan yet";
  $("planner").textContent = `Turn ${plan.turn}, ${by}${plan.versions > 1 ? `, version ${plan.version} of ${plan.versions}` : ""}`;
  $("steps").replaceChildren(...plan.steps.map((step) => {
    const item = element("li");
    const head = element("div", "head");
    head.append(element("strong", "", `${step.id}: ${step.tool}`), element("span", `badge ${step.status}`, step.status));
    item.append(head);
    item.append(element("div", "detail", brief(step.arguments)));
    if (step.depends_on.length) item.append(element("div", "detail", `after ${step.depends_on.join(", ")}`));
    if (step.attempts > 1) item.append(element("div", "detail", `attempt ${step.attempts}`));
    if (step.result !== null) item.append(element("div", "detail done", brief(step.result)));
    if (step.error) item.append(element("div", "detail error", `${step.error.kind}: ${step.error.message}`));
    return item;
  }));
}

function branch(actor) {
  const item = element("li");
  const name = actor.path === "/" ? "/" : actor.path.split("/").pop();
  const line = element("div");
  line.append(element("strong", "", name), " ", element("span", "hint", actor.kind), " ", element("span", "badge", actor.state));
  const mailbox = actor.mailbox.capacity ? ` mailbox ${actor.mailbox.depth}/${actor.mailbox.capacity}` : "";
  const restarts = actor.restarts ? ` restarts ${actor.restarts}` : "";
  line.append(element("span", "hint", mailbox + restarts));
  item.append(line);
  if (actor.work !== null) item.append(element("div", "detail", brief(actor.work)));
  if (actor.children.length) {
    const list = element("ul");
    list.append(...actor.children.map(branch));
    item.append(list);
  }
  return item;
}

async function showTree() {
  if ($("actors").hidden) return;
  try {
    $("tree").replaceChildren(branch(await call("/admin/v1/actors")));
  } catch (error) {
    $("tree").replaceChildren(element("li", "error", error.message));
  }
}

function show(actors) {
  $("chat").hidden = actors;
  $("actors").hidden = !actors;
  $("show-chat").setAttribute("aria-pressed", String(!actors));
  $("show-actors").setAttribute("aria-pressed", String(actors));
  if (actors) showTree(); else $("message").focus();
}

async function showReady() {
  let ready = false;
  let why = "The server does not answer.";
  try {
    const response = await fetch("/readyz");
    const body = await response.json();
    ready = body.ready;
    why = (body.waiting_for || []).join("; ");
  } catch { /* said by `why` */ }
  $("ready").textContent = ready ? "ready" : "not ready";
  $("ready").className = `badge ${ready ? "ready" : "not-ready"}`;
  $("ready").title = ready ? "" : why;
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
$("new").addEventListener("click", () => { open("", true); $("message").focus(); });
$("show-chat").addEventListener("click", () => show(false));
$("show-actors").addEventListener("click", () => show(true));
for (const example of document.querySelectorAll(".example")) {
  example.addEventListener("click", () => { $("message").value = example.textContent; $("ask").requestSubmit(); });
}
const fromAddress = () => new URL(location.href).searchParams.get("c") || decodeURIComponent(location.hash.slice(1));
window.addEventListener("popstate", () => open(fromAddress(), false));
setInterval(showTree, TREE_MS);
setInterval(showReady, 5000);
showReady();
open(fromAddress(), false);
