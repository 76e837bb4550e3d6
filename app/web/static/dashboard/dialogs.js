// Dialogs, and short notes in a corner. The browser's own dialog keeps the focus in, closes on
// Escape and gives the focus back.

import { byId, el } from "./dom.js";
import { later } from "./time.js";

const TOAST_MS = 6_000;
let made = 0;

/** Opens a dialog with a title; answers with its body, and how to close it. */
export function openDialog(title, ...content) {
  const id = `dialog-${(made += 1)}`;
  const body = el("div", { class: "dialog-body" }, content);
  const dialog = el(
    "dialog",
    { class: "dialog", "aria-labelledby": id },
    el(
      "div",
      { class: "dialog-head" },
      el("h2", { id, tabindex: "-1", autofocus: true }, title),
      el(
        "button",
        { type: "button", class: "button quiet", onclick: () => dialog.close() },
        "Close",
      ),
    ),
    body,
    el("div", { class: "toasts", role: "status" }),
  );
  dialog.addEventListener("close", () => dialog.remove());
  // A click beside it is on the dialog itself.
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  return { dialog, body, close: () => dialog.close() };
}

export const closeDialogs = () =>
  document.querySelectorAll("dialog[open]").forEach((one) => one.close());

/** In the open dialog if there is one: all else is out of reach then. `kind`: "done", "failed". */
export function toast(text, kind = "done") {
  const note = el("p", { class: `toast ${kind}` }, text);
  const places = document.querySelectorAll("dialog[open] .toasts");
  (places[places.length - 1] ?? byId("toasts")).append(note);
  later(TOAST_MS, () => note.remove());
}

/** Runs an action of a button: it can't be pressed twice meanwhile, and a failure is told. */
export async function press(button, act) {
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  try {
    await act();
  } catch (error) {
    if (!("status" in error)) throw error;
    toast(error.message, "failed");
  } finally {
    button.removeAttribute("aria-busy");
  }
}
