/** The row of tools above the map. One is open at a time; which one stands in the address. */
import type { PageContext, Tool } from "./context.ts";
import { h, iconButton } from "./dom.ts";
import { onLanguage, pick, t } from "./i18n.ts";

export class Toolbar {
  readonly element = h("nav", { class: "toolbar" });
  readonly #context: PageContext;
  readonly #tools: readonly Tool[];
  readonly #buttons = new Map<string, HTMLButtonElement>();
  #open: string | null = null;
  /** The tool that is being loaded; another one that is pressed meanwhile takes its place. */
  #wanted: string | null = null;

  constructor(context: PageContext, tools: readonly Tool[]) {
    this.#context = context;
    this.#tools = tools;
    for (const tool of tools) {
      const button = iconButton(tool.symbol, pick(tool.title), () => void this.toggle(tool.id), {
        "aria-controls": "dock",
        "aria-expanded": false,
      });
      button.dataset["tool"] = tool.id;
      button.append(h("span", {}, pick(tool.title)));
      this.#buttons.set(tool.id, button);
      this.element.append(button);
    }
    onLanguage(() => this.#refresh());
    context.session.onChange(() => this.#refresh());
    this.#refresh();
    context.link.register("tool", {
      read: (id) => void (id === null ? this.#leave() : this.open(id)),
      write: () => this.#open,
    });
  }

  async toggle(id: string): Promise<void> {
    if (this.#open === id) this.#leave();
    else await this.open(id);
  }

  /** Opens a tool by its id; nothing happens when there is none, or it is not for this user. */
  async open(id: string): Promise<void> {
    const tool = this.#tools.find((one) => one.id === id);
    if (!tool || this.#open === id || !(tool.allowed?.(this.#context) ?? true)) return;
    this.#wanted = id;
    const { dock, status, link } = this.#context;
    try {
      const { open } = await tool.load();
      if (this.#wanted !== id) return;
      this.#context.closeCard();
      dock.close();
      const panel = open(this.#context);
      dock.show(() => pick(tool.title), panel.element, () => {
        panel.close();
        this.#context.takeClicks(null);
        this.#open = null;
        this.#refresh();
        link.changed();
      });
      this.#open = id;
    } catch (error) {
      console.warn(error);
      status.trouble("toolFailed", t("serverDown"), () => void this.open(id));
    } finally {
      if (this.#wanted === id) this.#wanted = null;
    }
    this.#refresh();
    link.changed();
  }

  #leave(): void {
    this.#wanted = null;
    if (this.#open !== null) this.#context.dock.close();
  }

  #refresh(): void {
    this.element.setAttribute("aria-label", t("tools"));
    for (const tool of this.#tools) {
      const button = this.#buttons.get(tool.id);
      if (!button) continue;
      const title = pick(tool.title);
      button.hidden = !(tool.allowed?.(this.#context) ?? true);
      button.title = title;
      button.setAttribute("aria-label", title);
      button.setAttribute("aria-expanded", String(this.#open === tool.id));
      const label = button.querySelector("span");
      if (label) label.textContent = title;
    }
    this.element.hidden = [...this.#buttons.values()].every((button) => button.hidden);
  }
}
