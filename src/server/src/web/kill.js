// "Kill anything": the plan of the newest turn, the supervision tree with its kill buttons, the log as it is written,
// and a verdict by a counter outside. Shown only by a server that was started with --allow-chaos.
"use strict";

import { call, follow, link, sleep } from "./server.js";
import { element, plannedBy, stepLine, words } from "./plan.js";
import { draw, find } from "./tree.js";

const $ = (id) => document.getElementById(id);
const TREE_MS = 700;
const PLAN_MS = 350;
const CLOCK_MS = 100;
const SHOWN_RECORDS = 60;
const TERMINAL = ["FinalAnswerSynthesized", "PlanFailed", "PlanCancelled"];
const OPEN = ["queued", "planning", "running"];

let conversation = "";
let stop = null;
let tree = null;
let plan = null;
let counts = null;
let blows = [];
let ended = new Map();
let judged = "";
let drawn = "";
let asked = 0;

const of = (rest) => `/v1/conversations/${encodeURIComponent(conversation)}${rest}`;
const clock = (when) => when.toLocaleTimeString([], { hour12: false, hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });
const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;
const isOpen = () => plan !== null && OPEN.includes(plan.status);
const commandOf = (of) => (of.steps.length ? of.steps[0].effect_id.split(":").slice(-3)[0] : null);

// Shows the view for a conversation; what it showed before is forgotten.
export function enter(id) {
  leave();
  conversation = id;
  stop = new AbortController();
  plan = null; counts = null; judged = ""; drawn = ""; blows = []; ended = new Map(); asked = 0;
  for (const list of ["kill-steps", "log", "blows"]) $(list).replaceChildren();
  $("blows-none").hidden = false;
  $("log-none").hidden = false;
  $("kill-plan-status").textContent = "";
  $("kill-planner").textContent = "No plan yet.";
  verdict("", "");
  follow(of("/events"), tell, stop.signal);
  watchPlan(stop.signal);
  watchTree(stop.signal);
  watchClock(stop.signal);
}

export function leave() {
  if (stop) stop.abort();
  stop = null;
}

// --- the question -----------------------------------------------------------------------------------------------------

async function run() {
  const demo = link.about?.demo;
  if (!demo || isOpen()) return;
  asked += 1;
  verdict("", "");
  judged = "";
  blows = [];
  $("blows").replaceChildren();
  $("blows-none").hidden = false;
  $("again").disabled = true;
  // The same key never makes a second turn: two windows and a lost answer are one question.
  const key = `${conversation}-${plan ? plan.turn + 1 : 1}`;
  const body = JSON.stringify({ message: demo.question, conversation_id: conversation });
  const headers = { "Content-Type": "application/json", "Idempotency-Key": key, Prefer: "respond-async" };
  for (let pause = 100; stop && !stop.signal.aborted; pause = Math.min(pause * 2, 2000)) {
    try {
      await call("/v1/chat", { method: "POST", body, headers });
      return;
    } catch (error) {
      if (error.status && error.status !== 503) return complain(error.message);
      await sleep(pause);
    }
  }
}

// --- the plan and its verdict -----------------------------------------------------------------------------------------

async function watchPlan(signal) {
  let known = false;
  while (!signal.aborted) {
    if (link.state === "up") {
      try {
        const seen = await call(of("/plan"));
        if (signal.aborted) return;
        known = true;
        plan = seen;
        if (link.about?.demo) counts = await call("/page/counts").catch(() => counts);
        if (signal.aborted) return;
        showPlan();
        if (!isOpen()) await judge(signal);
      } catch (error) {
        // Nothing was asked yet: the demo asks by itself, once.
        if (error.status === 404 && !known && asked === 0 && link.about?.demo) run();
      }
    }
    $("again").hidden = !link.about?.demo;
    $("again").disabled = isOpen() || link.state !== "up";
    await sleep(PLAN_MS);
  }
}

const executions = (step) => (counts ? counts.deposits?.[step.effect_id] || 0 : null);

function showPlan() {
  // Drawn only when it changed: what moves on the screen is what moved in the plan.
  const now = JSON.stringify([plan, counts]);
  if (now === drawn) return;
  drawn = now;
  const status = $("kill-plan-status");
  status.textContent = words(plan.status);
  status.className = `badge ${plan.status}`;
  $("kill-planner").textContent = plannedBy(plan) + (counts ? "; “executed” is what the service outside counted" : "");
  $("kill-steps").replaceChildren(...plan.steps.map((step) => stepLine(step, executions(step))));
}

async function judge(signal) {
  const state = JSON.stringify([plan.turn, plan.status, counts, blows.length, ended.size]);
  if (state === judged) return;
  const replay = await call(of("/replay")).catch(() => null);
  if (signal.aborted || !replay) return;
  const answers = ended.get(commandOf(plan)) || 0;
  // The terminal event is on its way to this page when the plan has just ended.
  if (!answers) return;
  judged = state;
  const faults = [];
  const done = plan.steps.filter((step) => step.status === "done").length;
  if (plan.status !== "answered") faults.push(`the turn is ${words(plan.status)}, not answered`);
  if (done !== plan.steps.length) faults.push(`${done} of ${plan.steps.length} steps are done`);
  for (const step of plan.steps) {
    const times = executions(step);
    if (times !== null && times !== 1) faults.push(`${step.id} was executed ${times} times by the outside counter, not once`);
  }
  if (answers !== 1) faults.push(`the log has ${answers} terminal events of the turn, not 1`);
  if (!replay.equal) faults.push("the folded log differs from the live state");
  if (faults.length) return verdict("bad", `VERDICT: BAD — ${faults.join("; ")}`);
  const counted = counts ? "each executed once by the outside counter" : "uncounted (`callboard demo` brings a counter from outside)";
  const went = blows.length ? `the plan went on through ${blows.length} kill${blows.length === 1 ? "" : "s"}` : "the plan ran, and nothing was killed";
  verdict("good", `VERDICT: GOOD — ${went}: ${done} of ${plan.steps.length} steps, ${counted}, ${answers} answer, replay equals live`);
}

function verdict(kind, text) {
  if ($("verdict").textContent === text) return;
  $("verdict").className = `verdict ${kind}`;
  $("verdict").textContent = text;
  $("verdict").hidden = !text;
}

// --- the tree and the buttons -----------------------------------------------------------------------------------------

async function watchTree(signal) {
  while (!signal.aborted) {
    if (link.state !== "gone") {
      try {
        tree = await call("/admin/v1/actors");
        if (signal.aborted) return;
        draw($("kill-tree"), [tree], { onKill: (actor) => kill(actor.path, "panic", actor.path === "/" ? "the guardian" : actor.path) });
      } catch { /* the strip above says it */ }
    }
    showTargets();
    await sleep(TREE_MS);
  }
}

const busyWorker = () => find(tree, (actor) => actor.kind === "worker" && actor.work?.job?.effect?.startsWith(`${conversation}:`));

function target() {
  const busy = busyWorker();
  const pool = busy ? busy.path.slice(0, busy.path.lastIndexOf("/")) : null;
  const worker = busy || find(tree, (actor) => actor.kind === "worker");
  const supervisor = find(tree, (actor) => (pool ? actor.path === pool : actor.kind === "tool_pool"));
  return { busy, worker, supervisor };
}

function showTargets() {
  const { busy, worker, supervisor } = target();
  $("kill-worker-what").textContent = worker ? (busy ? `${worker.path}, which has a call in hand` : `${worker.path}, idle now`) : "none is there";
  $("kill-supervisor-what").textContent = supervisor ? `${supervisor.path} with its ${supervisor.children.length} workers` : "none is there";
  const pid = link.about?.process_id;
  $("kill-process-what").textContent = pid ? `SIGKILL to process ${pid}` : "SIGKILL";
  $("kill-tree").classList.toggle("stale", link.state === "gone");
  $("kill-tree").inert = link.state === "gone";
  const up = link.state === "up";
  $("kill-worker").disabled = !up || !worker;
  $("kill-supervisor").disabled = !up || !supervisor;
  $("kill-process").disabled = link.state === "gone";
}

async function kill(path, how, shown) {
  complain("");
  const entry = { item: element("li", "", `${clock(new Date())}  ${how === "abort" && path === "/" ? "SIGKILL" : how} ${shown}`) };
  const during = isOpen();
  try {
    const body = JSON.stringify({ path, how });
    await call("/admin/v1/actors/kill", { method: "POST", headers: { "Content-Type": "application/json" }, body });
  } catch (error) {
    // A process that was killed does not answer.
    if (error.status) return complain(error.message);
  }
  if (during) blows.push(entry);
  else entry.item.append(" (no plan was running)");
  $("blows-none").hidden = true;
  $("blows").append(entry.item);
  entry.item.scrollIntoView({ block: "nearest" });
}

function complain(text) {
  $("kill-error").textContent = text;
  $("kill-error").hidden = !text;
}

// --- the strip: is the process there? ---------------------------------------------------------------------------------

let processBefore = null;
let returned = "";

link.addEventListener("change", ({ detail }) => {
  const pid = link.about?.process_id;
  if (link.state === "up") {
    if (detail.was !== "unknown" && link.lastDown !== null) {
      const after = seconds(link.lastDown);
      returned = pid && pid !== processBefore && processBefore
        ? `Back after ${after}. Process ${pid} reads the log and goes on where ${processBefore} was killed.`
        : `Ready again after ${after}; process ${pid} was there all the time.`;
      const last = blows.at(-1);
      if (last) last.item.textContent += `, back after ${after}`;
    }
    processBefore = pid;
  }
  showStrip();
  showTargets();
});

function showStrip() {
  const pid = processBefore ? `Process ${processBefore}` : "The process";
  const text = {
    unknown: "Looking for the process…",
    up: returned || `${pid} serves.`,
    "not-ready": "The process is there and not ready yet…",
    gone: `${pid} is gone…`,
  }[link.state];
  $("strip").className = `strip ${link.state}`;
  if ($("strip-words").textContent !== text) $("strip-words").textContent = text;
  // The clock runs beside the words, so that a screen reader reads the words once.
  $("strip-clock").textContent = link.downSince ? ` ${seconds(performance.now() - link.downSince)} ${link.why}` : "";
}

async function watchClock(signal) {
  while (!signal.aborted) {
    showStrip();
    await sleep(CLOCK_MS);
  }
}

// --- the log ----------------------------------------------------------------------------------------------------------

function tell(record) {
  if (TERMINAL.includes(record.type)) ended.set(record.command_id, (ended.get(record.command_id) || 0) + 1);
  const { payload } = record;
  const more = record.type === "PlanGenerated" ? `${payload.steps.length} steps`
    : record.type === "ToolInvocationResulted" ? `${payload.step}, attempt ${payload.attempt}: ${payload.outcome.error ? payload.outcome.error.kind : "ok"}`
    : payload?.step || "";
  const item = element("li");
  const at = record.timestamp ? clock(new Date(record.timestamp)) : "";
  item.append(element("code", "", `#${record.offset}`), element("span", "hint", at), element("strong", "", record.type || "(unreadable)"), element("span", "hint", more));
  const list = $("log");
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.append(item);
  $("log-none").hidden = true;
  while (list.children.length > SHOWN_RECORDS) list.firstElementChild.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

$("kill-worker").addEventListener("click", () => { const { worker } = target(); if (worker) kill(worker.path, "panic", worker.path); });
$("kill-supervisor").addEventListener("click", () => { const { supervisor } = target(); if (supervisor) kill(supervisor.path, "panic", supervisor.path); });
$("kill-process").addEventListener("click", () => kill("/", "abort", `process ${link.about?.process_id ?? ""}`));
$("again").addEventListener("click", run);
window.addEventListener("resize", () => { $("log").scrollTop = $("log").scrollHeight; });
