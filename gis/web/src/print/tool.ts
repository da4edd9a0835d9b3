/** The tool that prints: a PDF at a true scale, made by the server. What is chosen stands in the link. */
import "../tools.css";
import "./print.css";
import { fileName } from "../ask/export.ts";
import { bounds } from "../bounds.ts";
import type { PageContext, ToolPanel } from "../context.ts";
import { makeTransform, type Transform } from "../crs.ts";
import { h } from "../dom.ts";
import { formatNumber, language, onLanguage, pick, texts } from "../i18n.ts";
import { seeView } from "../see/view.ts";
import { api, apiJson, ServerError } from "../server.ts";
import { filtersOf } from "./cql.ts";
import { Frame, frameRing } from "./frame.ts";
import { TEXTS } from "./texts.ts";

const t = texts(TEXTS);
/** The scales that sheets are made in; others may be typed. */
const SCALES = [500, 1000, 2000, 5000, 10_000];
/** A whole A1 sheet of a dense district takes the server a while. */
const TIMEOUT_MS = 300_000;

/** What GET /print/papers says. */
interface Papers {
  papers: { id: string; orientation: string; map_mm: [width: number, height: number] }[];
  scales: [least: number, most: number];
}

interface Choice {
  scale: number;
  paper: string;
  orientation: string;
}

/** `1000.a4.landscape`; null when the text is not such. Pure. */
export function readChoice(text: string | null): Choice | null {
  const [, scale, paper, orientation] = /^(\d{3,5})\.(a[1-4])\.(landscape|portrait)$/.exec(text ?? "") ?? [];
  return scale && paper && orientation ? { scale: Number(scale), paper, orientation } : null;
}

let present: PrintTool | null = null;
let listening = false;
/** What was chosen last, here or in the link. */
let choice: Choice = { scale: 1000, paper: "a4", orientation: "landscape" };

export function open(context: PageContext): ToolPanel {
  if (!listening) {
    listening = true;
    onLanguage(() => present?.build());
    context.link.register("print", {
      read: (text) => {
        choice = readChoice(text) ?? choice;
        present?.build();
      },
      write: () => (present ? `${choice.scale}.${choice.paper}.${choice.orientation}` : null),
    });
  }
  present = new PrintTool(context);
  return present;
}

class PrintTool implements ToolPanel {
  readonly element = h("div", { class: "print-tool" });
  readonly #context: PageContext;
  readonly #frame: Frame;
  readonly #transform: Transform | null;
  readonly #said = h("p", { class: "tool-hint", role: "status" });
  readonly #size = h("p", { class: "tool-hint" });
  readonly #title = h("input", { type: "text", class: "field", maxlength: 120, name: "title" });
  #papers: Papers | null = null;
  #request: AbortController | null = null;
  readonly #moved = (): void => this.#draw();

  constructor(context: PageContext) {
    this.#context = context;
    this.#frame = new Frame(context.map);
    const { crs, storage_crs: storage } = context.catalogue.city;
    const stored = crs.find(({ code }) => code === storage);
    // The frame is a box of the storage CRS, which is what the server draws in.
    this.#transform = context.transforms.find(({ code }) => code === storage) ?? (stored ? makeTransform(stored) : null);
    context.map.on("move", this.#moved);
    context.state.onChange(() => present === this && this.build());
    this.build();
    void this.#load();
  }

  close(): void {
    this.#request?.abort();
    this.#context.map.off("move", this.#moved);
    this.#frame.remove();
    present = null;
  }

  async #load(): Promise<void> {
    try {
      this.#papers = await apiJson<Papers>("/print/papers");
      if (present === this) this.build();
    } catch (error) {
      this.#said.textContent = t("failed", { reason: error instanceof Error ? error.message : String(error) });
    }
  }

  build(): void {
    const { layers, filters, unfiltered } = this.#wanted();
    const names = (ids: readonly string[]): string =>
      ids.map((id) => pick(this.#context.state.layers.get(id)?.title)).join(", ");
    const papers = [...new Set(this.#papers?.papers.map(({ id }) => id) ?? [choice.paper])];
    const busy = this.#request !== null;
    const button = busy
      ? h("button", { type: "button", class: "small-button", onclick: () => this.#request?.abort() }, t("cancel"))
      : h("button", { type: "submit", class: "small-button primary", disabled: layers.length === 0 }, t("print"));
    this.#title.placeholder = t("titleHint");
    const form = h(
      "form",
      { class: "print-form" },
      h("p", { class: "tool-hint" }, t("hint")),
      h("label", {}, h("span", {}, t("title")), this.#title),
      h("label", {}, h("span", {}, t("scale")), this.#scale()),
      h("label", {}, h("span", {}, t("paper")), this.#select("paper", papers, (one) => one.toUpperCase())),
      h(
        "label",
        {},
        h("span", {}, t("orientation")),
        this.#select("orientation", ["landscape", "portrait"], (one) => t(one as "landscape")),
      ),
      this.#size,
      h("button", { type: "button", class: "text-button", name: "whole", onclick: () => this.#showFrame() }, t("whole")),
      h("p", { class: "tool-hint" }, layers.length > 0 ? t("layers", { count: layers.length }) : t("noLayers")),
      Object.keys(filters).length > 0
        ? h("p", { class: "tool-hint" }, t("filtered", { names: names(Object.keys(filters)) }))
        : null,
      unfiltered.length > 0 ? h("p", { class: "tool-hint" }, t("cannotFilter", { names: names(unfiltered) })) : null,
      h("div", { class: "buttons" }, button),
      this.#said,
      h("p", { class: "tool-hint" }, t("trueScale")),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#print();
    });
    const focused = document.activeElement instanceof HTMLElement ? document.activeElement.getAttribute("name") : null;
    this.element.replaceChildren(form);
    if (focused) this.element.querySelector<HTMLElement>(`[name="${CSS.escape(focused)}"]`)?.focus();
    this.#draw();
  }

  #scale(): HTMLElement {
    const [least, most] = this.#papers?.scales ?? [100, 50_000];
    const input = h("input", {
      type: "number",
      class: "field",
      name: "scale",
      min: least,
      max: most,
      step: 1,
      value: choice.scale,
      list: "print-scales",
      required: true,
    });
    const known = h("datalist", { id: "print-scales" });
    for (const scale of SCALES) known.append(h("option", { value: scale }, `1:${formatNumber(scale, 0)}`));
    const take = (): void => {
      if (!input.validity.valid || input.valueAsNumber === choice.scale) return;
      choice = { ...choice, scale: input.valueAsNumber };
      this.#chosen();
    };
    input.addEventListener("input", take);
    const chips = SCALES.map((scale) =>
      h(
        "button",
        {
          type: "button",
          class: "small-button",
          name: `scale-${scale}`,
          "aria-pressed": String(scale === choice.scale),
          onclick: () => {
            choice = { ...choice, scale };
            this.#chosen();
            this.build();
          },
        },
        `1:${formatNumber(scale, 0)}`,
      ),
    );
    return h("span", { class: "print-scale" }, h("span", { class: "buttons" }, ...chips), input, known);
  }

  #select(name: "paper" | "orientation", values: readonly string[], label: (value: string) => string): HTMLElement {
    const select = h("select", { class: "field", name });
    for (const value of values) select.append(h("option", { value, selected: value === choice[name] }, label(value)));
    select.addEventListener("change", () => {
      choice = { ...choice, [name]: select.value };
      this.#chosen();
    });
    return select;
  }

  #chosen(): void {
    this.#draw();
    this.#context.link.changed();
  }

  /** What the map shows: the layers with data, and the reader's filters of them. */
  #wanted(): { layers: string[]; filters: Record<string, string>; unfiltered: string[] } {
    const view = seeView(this.#context);
    return { layers: view.seen.map(({ id }) => id), ...filtersOf(view.seen, (layer) => view.filter(layer)) };
  }

  /** Goes so far out, or near, that the frame is seen as a whole beside this panel. */
  #showFrame(): void {
    const box = this.#size.dataset["box"]?.split(",").map(Number);
    if (box?.length === 4) this.#context.zoomTo(box as [number, number, number, number], 20);
  }

  #draw(): void {
    const paper = this.#papers?.papers.find(
      ({ id, orientation }) => id === choice.paper && orientation === choice.orientation,
    );
    if (!paper || !this.#transform) return;
    const [width, height] = paper.map_mm.map((mm) => (mm / 1000) * choice.scale) as [number, number];
    const { lng, lat } = this.#context.map.getCenter();
    const ring = frameRing(this.#transform, [lng, lat], width, height);
    if (!ring.flat().every(Number.isFinite)) return;
    this.#frame.show(ring);
    this.#size.textContent = t("size", { width: formatNumber(width, 0), height: formatNumber(height, 0) });
    this.#size.dataset["box"] = bounds({ type: "LineString", coordinates: ring }).join(",");
  }

  async #print(): Promise<void> {
    if (this.#request) return;
    const { layers, filters } = this.#wanted();
    const { lng, lat } = this.#context.map.getCenter();
    const request = new AbortController();
    this.#request = request;
    this.#said.textContent = t("working");
    this.build();
    this.#context.status.busy(true);
    try {
      const title = this.#title.value.trim();
      const response = await api("/print", {
        method: "POST",
        headers: { Accept: "application/pdf, application/problem+json" },
        json: {
          ...choice,
          center: [lng, lat],
          layers,
          lang: language(),
          ...(title ? { title } : {}),
          ...(Object.keys(filters).length > 0 ? { filter: filters } : {}),
        },
        signal: request.signal,
        timeout: TIMEOUT_MS,
      });
      const name = fileName(response.headers.get("Content-Disposition"), "bandoso.pdf");
      const file = await response.blob();
      const url = URL.createObjectURL(file);
      h("a", { href: url, download: name }).click();
      window.setTimeout(() => URL.revokeObjectURL(url), 60_000);
      this.#said.textContent = t("done", { name, size: formatNumber(file.size / 1e6, 1) });
    } catch (error) {
      this.#said.textContent = request.signal.aborted ? t("cancelled") : reason(error);
    } finally {
      this.#request = null;
      this.#context.status.busy(false);
      if (present === this) this.build();
    }
  }
}

/** Why there is no print, and what to do: the server says both. */
function reason(error: unknown): string {
  if (!(error instanceof ServerError)) return t("failed", { reason: String(error) });
  if ((error.status === 429 || error.status === 503) && error.retryAfter !== null) {
    return t("later", { seconds: error.retryAfter });
  }
  const hint = typeof error.problem.hint === "string" ? error.problem.hint : "";
  return t("failed", { reason: `${error.message} ${hint}`.trim() });
}
