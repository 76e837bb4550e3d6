// A state as a small coloured word.

import { el, mark, say } from "./dom.js";

/** By what a delivery, or a run of a job, has come to. */
export const TONES = {
  delivered: "ok",
  succeeded: "ok",
  failed: "critical",
  retrying: "warning",
  pending: "unknown",
  cancelled: "unknown",
  running: "info",
  queued: "unknown",
};

export const badge = () => el("span", { class: "badge" });

export function judge(node, status, tone = TONES[status] ?? "unknown") {
  mark(node, "class", `badge ${tone}`);
  say(node, status);
}
