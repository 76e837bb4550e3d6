// One webhook, looked at closely; and a new one.

import { openDialog, press, toast } from "./dialogs.js";
import { el, say } from "./dom.js";
import { count, day, milliseconds, moment, percent, roughly, seconds } from "./format.js";
import { age } from "./time.js";
import { inWords, stateOf } from "./words.js";

/** How a webhook is doing, and a check or a test of it by hand. */
export function openWebhook(session, webhook) {
  const facts = el("dl", { class: "facts" });
  const buttons = el("div", { class: "choices" });
  const { body } = openDialog(webhook.name, facts, buttons);
  const fact = (name, value) => value && facts.append(el("dt", {}, name), el("dd", {}, value));
  fact("Address", webhook.url);
  fact("Description", webhook.description);
  fact("State", inWords(stateOf(webhook)));
  const load = async () => {
    const health = await session.api(`/webhooks/${webhook.id}/health`);
    fact(
      "Since",
      health.changed_at && `${roughly(age(health.changed_at))}, ${day(health.changed_at)}`,
    );
    fact("Last check", health.last_check_at ? moment(health.last_check_at) : "none yet");
    fact("Checked every", seconds(webhook.health_check_interval_seconds));
    fact(
      "Uptime",
      `${percent(health.uptime_24h)} in 24 h, ${percent(health.uptime_7d)} in 7 d, ${percent(health.uptime_30d)} in 30 d`,
    );
    fact(
      "Latency",
      health.latency_p50_ms !== null &&
        `p50 ${milliseconds(health.latency_p50_ms)}, p95 ${milliseconds(health.latency_p95_ms)}, p99 ${milliseconds(health.latency_p99_ms)}`,
    );
    fact(
      "Failures in a row",
      health.consecutive_failures ? count(health.consecutive_failures) : null,
    );
    fact(
      "Certificate",
      health.certificate_days_left === null ? null : `${health.certificate_days_left} days left`,
    );
    fact(
      "Waits for",
      health.blocked_by ? `webhook ${health.blocked_by}, which it depends on` : null,
    );
  };
  load().catch((error) => body.append(el("p", { class: "error", role: "alert" }, error.message)));
  if (!session.may("operator")) return;
  const ask = (label, act) =>
    el(
      "button",
      { type: "button", class: "button", onclick: (event) => press(event.currentTarget, act) },
      label,
    );
  buttons.append(
    ask("Check now", async () => {
      const check = await session.api(`/webhooks/${webhook.id}/check`, { method: "POST" });
      toast(
        `${webhook.name}: ${inWords(check.outcome)}, ${inWords(check.reason)}, ${milliseconds(check.latency_ms)}.`,
        check.outcome === "failed" ? "failed" : "done",
      );
    }),
    ask("Send a test", async () => {
      const sent = await session.api(`/webhooks/${webhook.id}/test`, { method: "POST" });
      toast(
        `${webhook.name}: ${inWords(sent.reason)}${sent.http_status ? ` (HTTP ${sent.http_status})` : ""}.`,
        sent.reason === "accepted" ? "done" : "failed",
      );
    }),
  );
}

/** A form for a new one; then its secret, this once. */
export function openNewWebhook(session) {
  const name = el("input", {
    id: "new-name",
    required: true,
    maxlength: "200",
    autocomplete: "off",
  });
  const url = el("input", {
    id: "new-url",
    type: "url",
    required: true,
    placeholder: "https://…",
    autocomplete: "off",
  });
  const error = el("p", { class: "error", role: "alert" });
  const button = el("button", { class: "button primary" }, "Add");
  const form = el(
    "form",
    {
      class: "form",
      novalidate: true,
      onsubmit: (event) => {
        event.preventDefault();
        press(button, submit);
      },
    },
    el("label", { for: "new-name" }, "Name"),
    name,
    el("label", { for: "new-url" }, "Address (URL)"),
    url,
    error,
    el("div", { class: "choices" }, button),
  );
  const { body } = openDialog("Add a webhook", form);
  name.focus();
  const submit = async () => {
    say(error, "");
    try {
      const made = await session.api("/webhooks", {
        method: "POST",
        body: { name: name.value, url: url.value },
      });
      body.replaceChildren(
        el(
          "p",
          {},
          "It is there. Its receiver verifies messages with this secret, which is shown this once:",
        ),
        el("code", { class: "secret", tabindex: "0" }, made.secret),
      );
    } catch (fault) {
      if (!("status" in fault)) throw fault;
      say(error, fault.message);
    }
  };
}
