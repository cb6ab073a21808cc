// Drawing a plan's steps; everything is written with textContent, so that nothing a model says becomes markup.
"use strict";

export function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

export function brief(value) {
  if (value === null || value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

export const words = (status) => status.replaceAll("_", " ");

export function plannedBy(plan) {
  const { planner } = plan;
  const by = planner ? `planned by ${planner.provider}${planner.model ? " " + planner.model : ""}` : "no plan yet";
  return `Turn ${plan.turn}, ${by}${plan.versions > 1 ? `, version ${plan.version} of ${plan.versions}` : ""}`;
}

// One card a step.
export function stepCard(step) {
  const item = element("li");
  const head = element("div", "head");
  head.append(element("strong", "", `${step.id}: ${step.tool}`), element("span", `badge ${step.status}`, words(step.status)));
  item.append(head);
  item.append(element("div", "detail", brief(step.arguments)));
  if (step.depends_on.length) item.append(element("div", "detail", `after ${step.depends_on.join(", ")}`));
  if (step.attempts > 1) item.append(element("div", "detail", `attempt ${step.attempts}`));
  if (step.approved_by) item.append(element("div", "detail", `approved by ${step.approved_by}`));
  if (step.result !== null) item.append(element("div", "detail done", brief(step.result)));
  if (step.error) item.append(element("div", "detail error", `${step.error.kind}: ${step.error.message}`));
  return item;
}

// An earlier version of a plan, beside the newest.
export function versionCard(plan) {
  const item = element("li");
  const steps = element("ol");
  steps.append(...plan.steps.map(stepCard));
  item.append(element("h3", "", `Version ${plan.version}`), steps);
  if (plan.guidance) item.append(element("div", "hint", plan.guidance));
  return item;
}

// One line a step, with what the outside counter says.
export function stepLine(step, executions) {
  const item = element("li", `line ${step.status}`);
  const mark = { done: "✔", running: "▶", failed: "✘", cancelled: "✘", skipped: "–", in_doubt: "?" }[step.status] || "·";
  const symbol = element("span", "mark", mark);
  symbol.setAttribute("aria-hidden", "true");
  item.append(symbol, element("strong", "", step.id), element("span", `badge ${step.status}`, words(step.status)));
  if (step.attempts > 1) item.append(element("span", "hint", `attempt ${step.attempts}`));
  if (executions !== null) item.append(element("span", "hint count", `executed ${executions}×`));
  if (step.error && step.status !== "done") item.append(element("span", "detail error", `${step.error.kind}: ${step.error.message}`));
  return item;
}
