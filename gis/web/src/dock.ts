/** The place for one tool: at the right of the map, on narrow screens a sheet at the bottom. */
import { h, iconButton } from "./dom.ts";
import { onLanguage, t } from "./i18n.ts";

export class Dock {
  readonly element = h("section", { class: "dock", id: "dock", hidden: true, tabindex: "-1" });
  readonly #title = h("h2", {});
  readonly #body = h("div", { class: "dock-body" });
  readonly #close = iconButton("close", t("close"), () => this.close(), { class: "icon-button" });
  #closed: (() => void) | null = null;
  #name: () => string = () => "";
  #changed: () => void = () => undefined;

  constructor() {
    this.element.append(h("header", {}, this.#title, this.#close), this.#body);
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.defaultPrevented) return;
      event.stopPropagation();
      this.close();
    });
    onLanguage(() => this.#label());
  }

  /** Calls the listener whenever the dock comes or goes. */
  onChange(listener: () => void): void {
    this.#changed = listener;
  }

  /** Shows a panel in place of the present one, which is closed. `closed` is called once, when it goes. */
  show(name: () => string, panel: HTMLElement, closed: () => void): void {
    this.close();
    this.#name = name;
    this.#closed = closed;
    this.#label();
    this.#body.replaceChildren(panel);
    this.element.hidden = false;
    document.body.classList.add("dock-open");
    this.#changed();
    this.element.focus({ preventScroll: true });
  }

  close(): void {
    if (this.element.hidden) return;
    this.element.hidden = true;
    document.body.classList.remove("dock-open");
    this.#body.replaceChildren();
    const closed = this.#closed;
    this.#closed = null;
    closed?.();
    this.#changed();
  }

  #label(): void {
    this.#title.textContent = this.#name();
    this.element.setAttribute("aria-label", this.#name());
    this.#close.title = t("close");
    this.#close.setAttribute("aria-label", t("close"));
  }
}
