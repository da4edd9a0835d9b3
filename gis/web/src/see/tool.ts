/** The tool with which a reader says how to see the map. */
import "../tools.css";
import "./see.css";
import type { PageContext, ToolPanel } from "../context.ts";
import { h } from "../dom.ts";
import { onLanguage, pick, texts } from "../i18n.ts";
import { classesOf } from "./colouring.ts";
import { seen } from "./in-view.ts";
import { LayerList } from "./layer-list.ts";
import { LegendPanel } from "./legend-panel.ts";
import { TEXTS } from "./texts.ts";
import { ALL } from "./themes.ts";
import { NO_BASE, OWN_BASE, seeView, type SeeView } from "./view.ts";

const t = texts(TEXTS);
/** After the map came to rest; one that moves on again is not asked. */
const REST_MS = 150;

class SeePanel {
  readonly element = h("div", { class: "see" });
  readonly #context: PageContext;
  readonly #view: SeeView;
  #legend: LegendPanel;
  #list: LayerList;
  #refreshers: (() => void)[] = [];
  #waiting = 0;
  /** The layer whose options are gone to as soon as it is known what stands above them. */
  #wanted = "";
  readonly #stop: () => void;
  closed = false;

  constructor(context: PageContext) {
    this.#context = context;
    this.#view = seeView(context);
    this.#legend = new LegendPanel(context, this.#view);
    this.#list = new LayerList(context, this.#view);
    this.#build();
    const stop = this.#view.onChange(() => {
      this.#refresh();
      this.#look();
    });
    context.map.on("idle", this.#look);
    this.#stop = () => {
      stop();
      context.map.off("idle", this.#look);
      window.clearTimeout(this.#waiting);
    };
    onLanguage(() => {
      if (!this.closed) this.#build();
    });
  }

  /** Opens filter and colours of a layer, though nothing of it may be in view. */
  showOptions(layer: string): void {
    this.#wanted = layer;
    this.#list.showOptions(layer);
    this.#look();
  }

  close(): void {
    present = null;
    this.closed = true;
    this.#stop();
  }

  #build(): void {
    this.#refreshers = [];
    this.#legend = new LegendPanel(this.#context, this.#view);
    this.#list = new LayerList(this.#context, this.#view);
    this.element.replaceChildren(
      this.#bases(),
      this.#themes(),
      this.#underground(),
      h("details", { open: true }, h("summary", {}, t("legend")), this.#legend.element),
      h("details", { open: true }, h("summary", {}, t("layersInView")), this.#list.element),
    );
    this.#refresh();
    this.#look();
  }

  #refresh(): void {
    for (const refresh of this.#refreshers) refresh();
    this.#list.refresh();
  }

  /** Looks what the map shows, when it has come to rest. Nothing is done while it moves. */
  readonly #look = (): void => {
    window.clearTimeout(this.#waiting);
    this.#waiting = window.setTimeout(() => {
      const { map, state } = this.#context;
      const found = seen(map, state.layers, (layer) => {
        const colouring = this.#view.colouring(layer.id);
        const field = colouring && this.#view.field(layer, colouring.field);
        return colouring && field
          ? { field: field.name, classes: classesOf(colouring, field, this.#view.isDark) }
          : null;
      });
      this.#legend.show(found);
      this.#list.show(new Set(found.keys()));
      if (this.#wanted) this.#list.showOptions(this.#wanted);
      this.#wanted = "";
    }, REST_MS);
  };

  #bases(): HTMLElement {
    const bases = [
      { id: OWN_BASE, title: t("baseCity") },
      { id: "light", title: t("baseLight") },
      { id: "dark", title: t("baseDark") },
      { id: NO_BASE, title: t("baseNone") },
      ...this.#view.rasters.map(({ id, title }) => ({ id, title: pick(title) })),
    ];
    const choices = bases.map(({ id, title }) => {
      const input = h("input", { type: "radio", name: "see-base", value: id });
      input.addEventListener("change", () => this.#view.setBase(id));
      this.#refreshers.push(() => {
        input.checked = this.#view.base === id;
      });
      return h("label", { class: "chip" }, input, h("span", {}, title));
    });
    return h("fieldset", { class: "see-bases" }, h("legend", {}, t("base")), h("div", { class: "chips" }, ...choices));
  }

  #themes(): HTMLElement {
    const choices = this.#view.themes.map(({ id, title, colour }) => {
      const dot = h("span", { class: "dot", "aria-hidden": "true" });
      dot.style.background = colour;
      const button = h("button", { type: "button", class: "chip-button", onclick: () => this.#view.showTheme(id) });
      button.append(...(id === ALL ? [] : [dot]), title ? pick(title) : t("themeAll"));
      button.dataset["theme"] = id;
      this.#refreshers.push(() => button.setAttribute("aria-pressed", String(this.#view.theme()?.id === id)));
      return button;
    });
    return h(
      "div",
      { role: "group", "aria-label": t("themes"), class: "see-themes" },
      h("h3", {}, t("themes")),
      h("div", { class: "chips" }, ...choices),
    );
  }

  #underground(): HTMLElement {
    const box = h("input", { type: "checkbox", "aria-describedby": "see-underground" });
    box.addEventListener("change", () => this.#view.setUnderground(box.checked));
    this.#refreshers.push(() => {
      box.checked = this.#view.underground;
    });
    return h(
      "div",
      { class: "see-underground" },
      h("label", {}, box, h("span", {}, t("underground"))),
      h("p", { class: "tool-hint", id: "see-underground" }, t("undergroundHint")),
    );
  }
}

let present: SeePanel | null = null;

export function open(context: PageContext): ToolPanel {
  present = new SeePanel(context);
  return present;
}

/** While the tool is open: filter and colours of a layer. */
export function showOptions(layer: string): void {
  present?.showOptions(layer);
}
