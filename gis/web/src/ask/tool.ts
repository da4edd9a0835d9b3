/** Selecting by box or polygon: statistics, table and export of what lies there. Kept in the link (`select=`). */
import type { PageContext, ToolPanel } from "../context.ts";
import { visibleBox } from "../cover.ts";
import type { Position } from "../crs.ts";
import { h } from "../dom.ts";
import { onLanguage, pick, texts } from "../i18n.ts";
import { readPlaces, writePlaces } from "../polyline.ts";
import { apiJson } from "../server.ts";
import { Sketch } from "../sketch.ts";
import type { Layer } from "../types.ts";
import { exportForm } from "./export.ts";
import { type Area, areaBody, boxOf } from "./query.ts";
import { type Statistics, statisticsView } from "./statistics.ts";
import { Table } from "./table.ts";
import { TEXTS } from "./texts.ts";
import "../tools.css";
import "./ask.css";

const t = texts(TEXTS);
const KINDS = ["box", "polygon", "view"] as const;
type Kind = (typeof KINDS)[number];
const TABS = ["summary", "table", "export"] as const;
type Tab = (typeof TABS)[number];
/** A city's worth of features is counted within this time, or the server says that it is too much. */
const TIMEOUT_MS = 60_000;

let present: Select | null = null;
let listening = false;
let said: string | null = null;

export function open(context: PageContext): ToolPanel {
  present = new Select(context);
  if (!listening) {
    listening = true;
    onLanguage(() => present?.build());
    context.link.register("select", {
      read: (text) => (present ? present.read(text) : void (said = text)),
      write: () => (present ? present.write() : null),
    });
  } else {
    present.read(said);
  }
  return present;
}

class Select implements ToolPanel {
  readonly element = h("div", { class: "select" });
  readonly #context: PageContext;
  readonly #sketch: Sketch;
  readonly #results = h("div", { class: "select-results", "aria-live": "polite" });
  #kind: Kind = "box";
  #tab: Tab = "summary";
  #shownOnly = true;
  #found: Statistics | null = null;
  #failure = "";
  #request: AbortController | null = null;
  #table: Table | null = null;
  #tableLayer: string | null = null;
  /** What the figures are about, as written in the link. */
  #asked: string | null = null;

  constructor(context: PageContext) {
    this.#context = context;
    this.#sketch = new Sketch(context, "box", {
      id: "bandoso-select",
      colour: "#0a6d86",
      changed: () => this.#drawn(),
    });
    this.build();
    this.#sketch.start("box");
  }

  close(): void {
    said = this.write();
    this.#request?.abort();
    this.#table?.close();
    this.#sketch.close();
    this.#context.dock.element.classList.remove("wide");
    present = null;
  }

  /** `b` or `p` and the places of what is selected. */
  write(): string | null {
    const { points, shape, done } = this.#sketch;
    return done ? (shape === "box" ? "b" : "p") + writePlaces(points) : null;
  }

  read(text: string | null): void {
    if (text === null || text === this.write()) return;
    const places = readPlaces(text.slice(1)) ?? [];
    const shape = text.startsWith("p") ? "polygon" : "box";
    if (places.length < (shape === "box" ? 2 : 3)) return;
    this.#kind = shape;
    this.build();
    this.#sketch.start(shape, places);
  }

  build(): void {
    const kinds = KINDS.map((kind) => {
      const radio = h("input", {
        type: "radio",
        name: "select-kind",
        value: kind,
        checked: kind === this.#kind,
        onchange: () => this.#start(kind),
      });
      return h("label", {}, radio, h("span", {}, t(kind)));
    });
    const only = h("input", { type: "checkbox", checked: this.#shownOnly });
    only.addEventListener("change", () => {
      this.#shownOnly = only.checked;
      if (this.#sketch.done) void this.#ask();
    });
    const button = (key: "again" | "finish" | "undo", onclick: () => void): HTMLElement =>
      h("button", { type: "button", class: "small-button", "data-do": key, onclick }, t(key));
    this.element.replaceChildren(
      h("fieldset", { class: "segments", role: "radiogroup", "aria-label": t("kind") }, ...kinds),
      h("p", { class: "tool-hint hint" }),
      h("label", { class: "check-line" }, only, h("span", {}, t("shownOnly"))),
      h(
        "div",
        { class: "buttons" },
        button("again", () => this.#start(this.#kind)),
        button("undo", () => this.#sketch.undo()),
        button("finish", () => this.#sketch.finish()),
      ),
      this.#results,
    );
    this.#drawn();
    this.#show();
  }

  #start(kind: Kind): void {
    this.#kind = kind;
    if (kind === "view") {
      const [west, south, east, north] = visibleBox(this.#context.map);
      this.#sketch.start("box", [
        [west, south],
        [east, north],
      ]);
    } else this.#sketch.start(kind);
  }

  #drawn(): void {
    const sketch = this.#sketch as Sketch | undefined;
    if (!sketch) return;
    const hint = this.element.querySelector(".hint");
    if (hint) hint.textContent = sketch.done ? "" : t(this.#kind === "polygon" ? "hintPolygon" : "hintBox");
    for (const [key, on] of [
      ["again", sketch.points.length > 0],
      ["undo", sketch.points.length > 0 && !sketch.done],
      ["finish", sketch.whole && !sketch.done],
    ] as const) {
      const button = this.element.querySelector<HTMLButtonElement>(`[data-do=${key}]`);
      if (button) button.hidden = !on;
    }
    const now = this.write();
    if (now === this.#asked) return;
    this.#asked = now;
    this.#context.link.changed();
    if (now !== null) void this.#ask();
    else {
      this.#request?.abort();
      this.#found = null;
      this.#show();
    }
  }

  #area(): Area {
    const [a, b] = this.#sketch.points as readonly [Position, Position];
    return this.#sketch.shape === "box" ? { box: boxOf(a, b) } : { ring: this.#sketch.points };
  }

  async #ask(): Promise<void> {
    this.#request?.abort();
    const request = new AbortController();
    this.#request = request;
    [this.#found, this.#failure] = [null, ""];
    this.#show();
    const { state } = this.#context;
    const layers = this.#shownOnly ? [...state.layers.keys()].filter((id) => state.isShown(id)) : null;
    try {
      const json = { ...areaBody(this.#area()), layers };
      const found = await apiJson<Statistics>("/statistics", { method: "POST", json, signal: request.signal, timeout: TIMEOUT_MS });
      if (request.signal.aborted) return;
      this.#found = found;
    } catch (error) {
      if (request.signal.aborted) return;
      this.#failure = error instanceof Error ? error.message : String(error);
    }
    this.#show();
  }

  #show(): void {
    this.#table?.close();
    this.#table = null;
    const wide = this.#found !== null && this.#tab === "table";
    this.#context.dock.element.classList.toggle("wide", wide);
    if (!this.#sketch?.done) return this.#results.replaceChildren();
    if (this.#failure) {
      const again = h("button", { type: "button", class: "text-button", onclick: () => void this.#ask() }, t("retry"));
      const reason = t("failed", { reason: this.#failure });
      return this.#results.replaceChildren(h("p", { class: "trouble-text", role: "alert" }, reason, " ", again));
    }
    const found = this.#found;
    if (!found) return this.#results.replaceChildren(h("p", { class: "tool-hint" }, t("counting")));
    const panel = h("div", { role: "tabpanel", id: "select-panel", "aria-labelledby": `select-tab-${this.#tab}` });
    if (this.#tab === "summary") panel.append(statisticsView(this.#context, found, (layer) => this.#openTable(layer)));
    else if (this.#tab === "table") panel.append(...this.#tableView(found));
    else panel.append(exportForm(this.#context, this.#area(), found));
    this.#results.replaceChildren(this.#tabs(), panel);
  }

  #tabs(): HTMLElement {
    const buttons = TABS.map((tab) =>
      h(
        "button",
        {
          type: "button",
          role: "tab",
          id: `select-tab-${tab}`,
          "aria-controls": "select-panel",
          "aria-selected": String(tab === this.#tab),
          tabindex: tab === this.#tab ? "0" : "-1",
          onclick: () => this.#setTab(tab),
        },
        t(tab),
      ),
    );
    const list = h("div", { class: "tabs", role: "tablist", "aria-label": t("tabs") }, ...buttons);
    list.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const at = (TABS.indexOf(this.#tab) + step + TABS.length) % TABS.length;
      this.#setTab(TABS[at] ?? "summary");
    });
    return list;
  }

  #setTab(tab: Tab): void {
    this.#tab = tab;
    this.#show();
    this.#results.querySelector<HTMLElement>(`#select-tab-${tab}`)?.focus();
  }

  #openTable(layer: Layer): void {
    this.#tableLayer = layer.id;
    this.#setTab("table");
  }

  #tableView(found: Statistics): HTMLElement[] {
    const layers = found.layers.flatMap((one) => {
      const layer = one.count > 0 ? this.#context.state.layers.get(one.layer) : undefined;
      return layer ? [layer] : [];
    });
    const chosen = layers.find((layer) => layer.id === this.#tableLayer) ?? layers[0];
    if (!chosen) return [h("p", { class: "tool-hint" }, t("nothing"))];
    this.#tableLayer = chosen.id;
    const select = h("select", { class: "field", "aria-label": t("layer") });
    for (const layer of layers) {
      select.append(h("option", { value: layer.id, selected: layer === chosen }, pick(layer.title)));
    }
    select.addEventListener("change", () => {
      this.#tableLayer = select.value;
      this.#show();
      this.#results.querySelector<HTMLElement>("select")?.focus();
    });
    this.#table = new Table(this.#context, chosen, this.#area());
    return [h("div", { class: "one-line" }, select), this.#table.element];
  }
}
