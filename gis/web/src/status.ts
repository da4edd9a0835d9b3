/** What the page says about itself: a progress bar, short notices, and the screen when nothing works. */
import { h, iconButton, symbol } from "./dom.ts";
import { onLanguage, t } from "./i18n.ts";
import type { TextKey } from "./texts.ts";

const NOTICE_MS = 4_000;

export class Status {
  readonly element = h("div", { class: "status" });
  readonly #bar = h("div", { class: "progress", role: "progressbar", hidden: true });
  readonly #notices = h("div", { class: "notices", role: "status", "aria-live": "polite" });
  #trouble: HTMLElement | null = null;
  #showBar = 0;

  constructor() {
    const label = (): void => this.#bar.setAttribute("aria-label", t("loading"));
    label();
    onLanguage(label);
    this.element.append(this.#bar, this.#notices);
  }

  /** The bar appears only when loading takes a moment, so quick moves do not flicker. */
  busy(on: boolean): void {
    if (on && this.#showBar === 0) {
      this.#showBar = window.setTimeout(() => {
        this.#bar.hidden = false;
      }, 150);
    } else if (!on) {
      window.clearTimeout(this.#showBar);
      this.#showBar = 0;
      this.#bar.hidden = true;
    }
  }

  /** A short notice that goes away by itself. */
  say(text: string): void {
    const notice = h("div", { class: "notice" }, text);
    this.#notices.append(notice);
    window.setTimeout(() => notice.remove(), NOTICE_MS);
  }

  /** A notice of trouble that stays, with a way to try again. Only one at a time. */
  trouble(key: TextKey, detail: string, retry: () => void): void {
    this.clearTrouble();
    const notice = h(
      "div",
      { class: "notice trouble" },
      symbol("warning"),
      h("span", {}, t(key), detail ? h("small", {}, detail) : null),
      h("button", { type: "button", class: "text-button", onclick: () => (this.clearTrouble(), retry()) }, t("retry")),
      iconButton("close", t("close"), () => this.clearTrouble(), { class: "icon-button" }),
    );
    this.#trouble = notice;
    this.#notices.append(notice);
  }

  clearTrouble(): void {
    this.#trouble?.remove();
    this.#trouble = null;
  }
}

/** Fills the page with the reason why there is no map. Resolves when the user wants to try again. */
export function failureScreen(root: HTMLElement, reason: string): Promise<void> {
  return new Promise((resolve) => {
    const again = (): void => {
      window.removeEventListener("online", again);
      resolve();
    };
    const button = h("button", { type: "button", class: "main-button", onclick: again }, t("retry"));
    root.replaceChildren(
      h(
        "main",
        { class: "failure", role: "alert" },
        symbol("warning"),
        h("h1", {}, t("startFailed")),
        h("p", {}, reason),
        button,
      ),
    );
    window.addEventListener("online", again);
    button.focus();
  });
}

/** Fills the page with the waiting screen. */
export function loadingScreen(root: HTMLElement): void {
  root.replaceChildren(
    h(
      "main",
      { class: "splash", role: "status" },
      h("div", { class: "spinner", "aria-hidden": "true" }),
      h("p", {}, t("loading")),
    ),
  );
}
