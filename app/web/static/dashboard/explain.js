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
  const what = `${capital(inWords(one.kind))}${one.kind === "unmute" ? "" : ` ${one.number}`}`;
  return one.done_at ? `${what}: ${inWords(one.outcome)}.` : `${what}: still to come.`;
}

/** What waits comes first, then who was not told. Of many who were, each opens when asked. */
function inOrder(webhooks) {
  const rank = (one) => (one.messages.some((message) => message.waits) ? 0 : one.told ? 2 : 1);
  const told = webhooks.filter((one) => rank(one) === 2).length;
  const sorted = [...webhooks].sort((a, b) => rank(a) - rank(b));
  return sorted.map((one) => webhook(one, rank(one) < 2 || told <= OPEN_AT_FIRST));
}

function webhook(one, isOpen) {
  const why = one.told || one.messages.length ? "Why it is told" : "Why it is not told";
  return el(
    "details",
    { class: "explained", open: isOpen },
    el(
      "summary",
      {},
      el(
        "h4",
        {},
        el(
          "span",
          { class: `badge ${one.told ? "ok" : "unknown"}` },
          one.told ? "told" : "not told",
        ),
        ` ${one.name}`,
      ),
    ),
    el("p", {}, `${why}: ${inWords(one.reason)}.`),
    one.messages.map(message),
  );
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
