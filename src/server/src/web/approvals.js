// What waits for a person, whatever its conversation, with buttons: approve as planned, approve with changed arguments,
// reject. Everything is written with textContent, so that nothing a model says becomes markup.
"use strict";

import { call, link } from "./server.js";
import { element } from "./plan.js";

const EVERY_MS = 2000;
const $ = (id) => document.getElementById(id);
// Cards stay what they are while somebody writes in them.
const cards = new Map();
// Whoever has declined to give a key is not asked for it every two seconds.
let refused = false;

async function decide(approval, body, card) {
  const path = `/v1/conversations/${encodeURIComponent(approval.conversation_id)}/approvals/${encodeURIComponent(approval.effect_id)}`;
  const headers = { "Content-Type": "application/json" };
  for (const button of card.querySelectorAll("button")) button.disabled = true;
  try {
    await call(path, { method: "POST", headers, body: JSON.stringify(body) });
    forget(approval.effect_id);
  } catch (error) {
    card.querySelector(".error").textContent = error.message;
    for (const button of card.querySelectorAll("button")) button.disabled = false;
  }
}

function forget(effect) {
  cards.get(effect)?.remove();
  cards.delete(effect);
  $("approvals-box").hidden = cards.size === 0;
}

function button(text, act) {
  const made = element("button", "small", text);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

function cardOf(approval) {
  const card = element("li");
  card.dataset.effect = approval.effect_id;
  const head = element("div", "head");
  head.append(element("strong", "", approval.tool), element("span", "badge awaiting_approval", "awaiting approval"));
  const planned = JSON.stringify(approval.arguments, null, 1);
  const edited = element("textarea", "arguments");
  edited.value = planned;
  edited.rows = 3;
  edited.setAttribute("aria-label", "Arguments");
  const reason = element("input", "reason");
  reason.placeholder = "Reason";
  reason.setAttribute("aria-label", "Reason");
  const problem = element("div", "detail error");
  const said = () => (reason.value.trim() ? { reason: reason.value.trim() } : {});
  const approve = () => {
    const body = { decision: "approve", ...said() };
    if (edited.value !== planned) {
      try {
        body.arguments = JSON.parse(edited.value);
      } catch (error) {
        problem.textContent = `The arguments are no JSON: ${error.message}`;
        return;
      }
    }
    decide(approval, body, card);
  };
  const buttons = element("div", "buttons");
  buttons.append(button("Approve", approve), button("Reject", () => decide(approval, { decision: "reject", ...said() }, card)));
  card.append(head, element("div", "detail", approval.message), edited, reason, buttons, problem);
  card.append(element("div", "hint", `waits until ${approval.expires_at}`));
  return card;
}

async function look() {
  if ($("chat").hidden || link.state !== "up") return;
  if (refused && !sessionStorage.getItem("callboard-key")) return;
  const { approvals } = await call("/v1/approvals").catch((error) => {
    refused = error.status === 401;
    throw error;
  });
  const now = new Set(approvals.map((approval) => approval.effect_id));
  for (const effect of [...cards.keys()]) if (!now.has(effect)) forget(effect);
  for (const approval of approvals) {
    if (cards.has(approval.effect_id)) continue;
    const card = cardOf(approval);
    cards.set(approval.effect_id, card);
    $("approvals").append(card);
  }
  $("approvals-box").hidden = cards.size === 0;
}

export function watchApprovals() {
  const again = () => look().catch(() => {});
  setInterval(again, EVERY_MS);
  again();
}
