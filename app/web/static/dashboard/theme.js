// Light, dark, or as the system has it.

import { say } from "./dom.js";

const KEPT = "tocsin.theme";
const NEXT = { auto: "light", light: "dark", dark: "auto" };
const NAMES = { auto: "Auto", light: "Light", dark: "Dark" };

export class Theme {
  #button;

  constructor(button) {
    this.#button = button;
    button.addEventListener("click", () => this.#choose(NEXT[this.#chosen]));
    this.#show();
  }

  get #chosen() {
    return document.documentElement.dataset.theme ?? "auto";
  }

  #choose(theme) {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem(KEPT, theme);
    } catch {
      // Then it lasts as long as the page.
    }
    this.#show();
  }

  #show() {
    say(this.#button, `Theme: ${NAMES[this.#chosen]}`);
  }
}
