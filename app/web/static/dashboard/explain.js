// Why each webhook was told of an alert, or was not: the trace in plain words.

import { openDialog } from "./dialogs.js";
import { el } from "./dom.js";
import { moment } from "./format.js";
import { capital, inWords } from "./words.js";

const OPEN_AT_FIRST = 5;

export async function openExplanation(session, alert) {
  const { body } = openDialog(
    `Who was told, and why: ${alert.title}`,
    el("p", { class: "soft" }, "Looking …"),
  );
  let found;
  try {
    found = await session.api(`/alerts/${alert.id}/explain`);
  } catch (error) {
    if (!("status" in error)) throw error;
    body.replaceChildren(el("p", { class: "error", role: "alert" }, error.message));
    return;
  }
  body.replaceChildren(
    el("p", {}, summary(found)),
    section("What was decided", timeline(found.decisions.map((one) => [one.at, decision(one)]))),
    found.follow_ups.length
      ? section(
          "What follows",
          timeline(found.follow_ups.map((one) => [one.done_at ?? one.due_at, followUp(one)])),
        )
      : "",
    section(
      "Webhook by webhook",
      found.webhooks.length ? inOrder(found.webhooks) : el("p", {}, "There are no webhooks."),
    ),
  );
}

function summary({ status, webhooks }) {
  const told = webhooks.filter((one) => one.told).length;
  const waiting = webhooks.filter((one) => one.messages.some((message) => message.waits)).length;
  const waits = waiting ? `, for ${waiting} something still waits` : "";
  return `The alert is ${status}. Of ${webhooks.length} ${webhooks.length === 1 ? "webhook" : "webhooks"}, ${told} accepted a message about it${waits}.`;
}

const section = (title, ...content) => el("section", {}, el("h3", {}, title), ...content);

const timeline = (entries) =>
  el(
    "ol",
    { class: "trace" },
    entries.map(([at, text]) =>
      el("li", {}, el("time", { datetime: at }, moment(at)), el("span", {}, text)),
    ),
  );

function decision(one) {
  const rules = one.rule_ids?.length
    ? ` (${one.rule_ids.map((id) => `rule ${id}`).join(", ")})`
    : "";
  const parts = [
    one.rule_id && `rule ${one.rule_id}`,
    one.silence_id && `silence ${one.silence_id}`,
    one.inhibition_id && `inhibition rule ${one.inhibition_id}`,
    one.alert_id && `by alert ${one.alert_id}`,
    one.detail && (inWords(one.detail) || one.detail),
    one.until && `until ${moment(one.until)}`,
  ].filter(Boolean);
  return `${capital(inWords(one.reason))}${rules}${parts.length ? `: ${parts.join(", ")}` : ""}.`;
}

function followUp(one) {
  const what = `${capital(inWords(one.kind))}${one.kind === "escalate" ? `, step ${one.number}` : ""}`;
  return one.done_at ? `${what}: ${inWords(one.outcome)}.` : `${what}: still to come.`;
}

/** What waits comes first, then who was told, then who was not. Of many who were, each opens when
 * asked. */
function inOrder(webhooks) {
  const isWaiting = (one) => one.messages.some((message) => message.waits);
  const rank = (one) => (isWaiting(one) ? 0 : one.messages.length ? 1 : 2);
  const told = webhooks.filter((one) => rank(one) === 1).length;
  const sorted = [...webhooks].sort((a, b) => rank(a) - rank(b));
  return sorted.map((one) =>
    one.messages.length ? concerned(one, isWaiting(one) || told <= OPEN_AT_FIRST) : leftAlone(one),
  );
}

function concerned(one, isOpen) {
  return el(
    "details",
    { class: "explained", open: isOpen },
    el("summary", {}, name(one)),
    el("p", {}, `Why it is told: ${inWords(one.reason)}.`),
    one.messages.map(message),
  );
}

function leftAlone(one) {
  return el("div", { class: "explained" }, name(one), el("p", {}, `${capital(inWords(one.reason))}.`));
}

function name(one) {
  const badge = el(
    "span",
    { class: `badge ${one.told ? "ok" : "unknown"}` },
    one.told ? "told" : "not told",
  );
  return el("h4", {}, badge, ` ${one.name}`);
}

function message(one) {
  const waits = one.waits
    ? el(
        "p",
        { class: "waits" },
        `Now it waits: ${inWords(one.waits.reason)}${one.waits.until ? `, until ${moment(one.waits.until)}` : ""}.`,
      )
    : "";
  return el(
    "div",
    { class: "message" },
    el(
      "p",
      {},
      `${capital(inWords(one.type))}: `,
      el("b", {}, one.status),
      one.reason ? `, ${inWords(one.reason)}` : "",
    ),
    timeline(one.trace.map((step) => [step.at, traced(step)])),
    waits,
  );
}

const STAGES = {
  queued: "Queued",
  attempt: "Attempt",
  traffic: "Gate and pace",
  check: "Health check",
  outcome: "Outcome",
};

function traced(step) {
  const parts = [inWords(step.reason)];
  if (step.http_status) parts.push(`HTTP ${step.http_status}`);
  if (step.gate) parts.push(`gate ${inWords(step.gate)}`);
  if (step.pace_per_second) parts.push(`${step.pace_per_second.toFixed(1)} a second`);
  if (step.decision) parts.push(inWords(step.decision));
  if (step.detail) parts.push(inWords(step.detail));
  return `${STAGES[step.stage] ?? step.stage}: ${parts.filter(Boolean).join(", ")}.`;
}
