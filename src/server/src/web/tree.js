// The actor tree: drawn in place, so that a button keeps its focus while the tree is read again and again. Workers and
// hosts that do nothing are counted instead of listed.
"use strict";

import { element } from "./plan.js";

export const nameOf = (actor) => (actor.path === "/" ? "guardian" : actor.path.split("/").pop());

const endingsOf = (actor) => Object.entries(actor.endings || {}).map(([ending, count]) => `${ending} ${count}`).join(", ");

function isIdle(actor) {
  if (actor.restarts > 0 || endingsOf(actor)) return false;
  if (actor.kind === "worker") return actor.state === "idle";
  return actor.kind === "partition_host" && actor.state === "running" && actor.children.length === 0;
}

export function walk(actor, visit) {
  visit(actor);
  for (const child of actor.children) walk(child, visit);
}

export function find(tree, fits) {
  let found = null;
  if (tree) walk(tree, (actor) => { if (!found && fits(actor)) found = actor; });
  return found;
}

// What an actor works at, in a few words.
function work(actor) {
  if (!actor.work) return "";
  if (actor.kind === "worker") {
    const { job } = actor.work;
    if (!job) return "";
    return job.effect ? `has ${job.effect.split(":").at(-1)}, attempt ${job.attempt}, in hand` : "has something in hand";
  }
  const { busy_workers: busy, partitions, conversations, open, position, offset } = actor.work;
  const parts = [];
  if (partitions !== undefined && typeof partitions === "number") parts.push(`${partitions} partitions`);
  if (busy) parts.push(`${busy} busy`);
  if (conversations) parts.push(`${conversations} conversation${conversations === 1 ? "" : "s"}`);
  if (open) parts.push(`${open} open turn${open === 1 ? "" : "s"}`);
  if (position) parts.push(`at offset ${position}`);
  else if (offset) parts.push(`at offset ${offset}`);
  return parts.join(", ");
}

// Everything that an actor says of itself and that is not nothing.
function allWork(said) {
  return Object.entries(said || {}).flatMap(([name, value]) => {
    const text = value && typeof value === "object" ? allWork(value) : value;
    return text ? [`${name.replaceAll("_", " ")} ${text}`] : [];
  }).join(", ");
}

const short = (actor) => (actor.kind === "conversation" && nameOf(actor).length > 24 ? nameOf(actor).slice(0, 23) + "…" : nameOf(actor));

function fill(item, actor, { onKill, whole }) {
  const line = item.firstElementChild;
  const kind = actor.path === "/" ? "the root" : actor.kind.replaceAll("_", " ");
  const parts = [element("strong", "", short(actor)), element("span", "hint", kind)];
  parts.push(element("span", `badge ${actor.state}`, actor.state));
  const endings = endingsOf(actor);
  if (actor.restarts) parts.push(element("span", "restarts", `${actor.restarts} restart${actor.restarts === 1 ? "" : "s"}${endings ? `: ${endings}` : ""}`));
  else if (endings) parts.push(element("span", "restarts", endings));
  if (whole && actor.mailbox.capacity) parts.push(element("span", "hint", `mailbox ${actor.mailbox.depth}/${actor.mailbox.capacity}`));
  const words = whole ? allWork(actor.work) : work(actor);
  if (words) parts.push(element("span", "hint", words));
  const about = line.querySelector(".about");
  about.replaceChildren(...parts);
  const button = line.querySelector("button");
  if (button) button.onclick = () => onKill(actor);
}

function make(actor, onKill) {
  const item = element("li");
  item.dataset.path = actor.path;
  const line = element("div", "actor");
  line.append(element("span", "about"));
  if (onKill) {
    const button = element("button", "small", "kill");
    button.type = "button";
    button.setAttribute("aria-label", actor.path === "/" ? "kill the guardian" : `kill ${actor.path}`);
    line.append(button);
  }
  item.append(line, element("ul"));
  return item;
}

function counted(list, kind, count) {
  const key = `idle-${kind}`;
  let item = [...list.children].find((child) => child.dataset.path === key);
  if (!item) {
    item = element("li", "hint idle");
    item.dataset.path = key;
  }
  const noun = kind === "worker" ? "worker" : "partition host";
  item.textContent = `${count} idle ${noun}${count === 1 ? "" : "s"}`;
  return item;
}

// Draws `actors` as the children of `list`. `onKill` gives each a button, `whole` shows all that it says of itself,
// `idle` lists those that do nothing too.
export function draw(list, actors, options) {
  const known = new Map([...list.children].map((child) => [child.dataset.path, child]));
  const idle = new Map();
  const items = [];
  for (const actor of actors) {
    if (!options.idle && isIdle(actor)) {
      idle.set(actor.kind, (idle.get(actor.kind) || 0) + 1);
      continue;
    }
    const item = known.get(actor.path) || make(actor, options.onKill);
    fill(item, actor, options);
    draw(item.lastElementChild, actor.children, options);
    items.push(item);
  }
  for (const [kind, count] of idle) items.push(counted(list, kind, count));
  for (const child of [...list.children]) if (!items.includes(child)) child.remove();
  items.forEach((item, at) => { if (list.children[at] !== item) list.insertBefore(item, list.children[at] || null); });
}
