/** The search box above the map. What it does with what is typed is loaded when it is used first. */
import type { PageContext } from "../context.ts";
import { h, iconButton, symbol } from "../dom.ts";
import { onLanguage, texts } from "../i18n.ts";
import type { Finder } from "./finder.ts";
import { TEXTS } from "./texts.ts";
import "./find.css";

const t = texts(TEXTS);

export class FindBox {
  readonly element = h("form", { class: "find", role: "search" });
  readonly input = h("input", {
    type: "text",
    class: "find-input",
    role: "combobox",
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    enterkeyhint: "search",
    maxlength: 200,
    "aria-expanded": "false",
    "aria-autocomplete": "list",
    "aria-controls": "find-results",
    "aria-keyshortcuts": "/",
  });
  readonly list = h("div", { class: "find-results", id: "find-results", role: "listbox", hidden: true });
  readonly #clear = iconButton("close", t("clear"), () => this.clear(), { class: "icon-button", hidden: true });
  readonly #context: PageContext;
  #finder: Promise<Finder> | null = null;

  constructor(context: PageContext) {
    this.#context = context;
    this.element.append(symbol("search"), this.input, this.#clear, this.list);
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#load().then((finder) => finder.go());
    });
    this.input.addEventListener("focus", () => void this.#load());
    this.input.addEventListener("input", () => {
      this.#clear.hidden = this.input.value === "";
      void this.#load().then((finder) => finder.typed());
    });
    window.addEventListener("keydown", (event) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      event.preventDefault();
      this.input.focus();
      this.input.select();
    });
    onLanguage(() => this.#label());
    this.#label();
  }

  clear(): void {
    this.input.value = "";
    this.#clear.hidden = true;
    this.input.focus();
    void this.#load().then((finder) => finder.typed());
  }

  #load(): Promise<Finder> {
    this.#finder ??= import("./finder.ts").then(({ Finder }) => new Finder(this.#context, this));
    this.#finder.catch((error: unknown) => {
      console.warn(error);
      this.#finder = null;
    });
    return this.#finder;
  }

  #label(): void {
    this.element.setAttribute("aria-label", t("find"));
    this.input.placeholder = t("placeholder");
    this.input.title = t("hint");
    this.input.setAttribute("aria-label", t("find"));
    this.list.setAttribute("aria-label", t("results"));
    this.#clear.title = t("clear");
    this.#clear.setAttribute("aria-label", t("clear"));
  }
}

/** A slash that is part of a text is no shortcut. */
function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.matches("input, textarea, select, [contenteditable]");
}
