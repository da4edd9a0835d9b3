/** The tool that draws a section: a line across a street, and every utility that it cuts. Kept in the link. */
import "../tools.css";
import "./section.css";
import type { PageContext, ToolPanel } from "../context.ts";
import { h } from "../dom.ts";
import { formatNumber, onLanguage, pick, texts } from "../i18n.ts";
import { readPlaces, writePlaces } from "../polyline.ts";
import { getJson } from "../server.ts";
import { Sketch } from "../sketch.ts";
import type { Field } from "../types.ts";
import { groundOf, onGround, type Placed, type Section } from "./answer.ts";
import { drawSection } from "./draw.ts";
import { EXAGGERATIONS } from "./layout.ts";
import { saveDrawing } from "./save.ts";
import { TEXTS } from "./texts.ts";

const t = texts(TEXTS);
const WIDTHS = [1, 2, 5, 10];
const HINTS = { model: "heights", derived: "derived", level: "depths" } as const;

let present: SectionTool | null = null;
let listening = false;
/** What the link says while the tool is closed. */
let said: string | null = null;

export function open(context: PageContext): ToolPanel {
  present = new SectionTool(context);
  if (listening) present.read(said);
  else {
    listening = true;
    onLanguage(() => present?.build());
    context.link.register("section", {
      read: (text) => (present ? present.read(text) : void (said = text)),
      write: () => present?.write() ?? null,
    });
  }
  return present;
}

/** The colour by which the legend shows a layer. */
export function layerColour(context: PageContext, id: string): string {
  const layer = context.state.layers.get(id);
  return layer?.legend[0]?.colour ?? context.state.sector(id)?.colour ?? "#5a6b78";
}

class SectionTool implements ToolPanel {
  readonly element = h("div", { class: "section-tool" });
  readonly #context: PageContext;
  readonly #sketch: Sketch;
  readonly #result = h("div", { class: "section-result", "aria-live": "polite" });
  #width = 2;
  #stretch: number | null = null;
  #answer: Section | null = null;
  #request: AbortController | null = null;
  /** The line that was asked for, so that moving the cursor asks nothing. */
  #asked = "";

  constructor(context: PageContext) {
    this.#context = context;
    this.#sketch = new Sketch(context, "line", {
      id: "bandoso-section",
      colour: "#b3261e",
      changed: () => this.#changed(),
    });
    this.build();
    this.#sketch.start("line");
  }

  close(): void {
    said = this.write();
    this.#request?.abort();
    this.#sketch.close();
    this.#context.dock.element.classList.remove("wide");
    present = null;
  }

  /** The width of the strip and the places. */
  write(): string | null {
    const { points, done } = this.#sketch;
    return done && points.length >= 2 ? `${this.#width}:${writePlaces(points)}` : null;
  }

  read(text: string | null): void {
    if (text === this.write()) return;
    const [width = "", places = ""] = (text ?? "").split(":");
    if (WIDTHS.includes(Number(width))) this.#width = Number(width);
    const points = readPlaces(places) ?? [];
    this.#sketch.start("line", points);
    this.build();
  }

  build(): void {
    const width = h("select", { class: "field" }, ...WIDTHS.map((one) => h("option", { value: one }, `${one} m`)));
    width.value = String(this.#width);
    width.addEventListener("change", () => {
      this.#width = Number(width.value);
      this.#asked = "";
      this.#changed();
    });
    const stretch = h("select", { class: "field" }, h("option", { value: "" }, t("stretchOwn")));
    stretch.append(...EXAGGERATIONS.map((one) => h("option", { value: one }, `× ${one}`)));
    stretch.value = this.#stretch === null ? "" : String(this.#stretch);
    stretch.addEventListener("change", () => {
      this.#stretch = stretch.value === "" ? null : Number(stretch.value);
      this.#show();
    });
    const again = (): void => this.#sketch.start("line");
    this.element.replaceChildren(
      h("p", { class: "tool-hint" }, t("hint")),
      h(
        "div",
        { class: "section-settings" },
        h("label", { title: t("widthHint") }, h("span", {}, t("width")), width),
        h("label", {}, h("span", {}, t("stretch")), stretch),
        h("button", { type: "button", class: "small-button", onclick: again }, t("again")),
      ),
      this.#result,
    );
    this.#show();
  }

  #changed(): void {
    const { points, done } = this.#sketch;
    this.#context.link.changed();
    const line = done && points.length >= 2 ? points.map(([lon, lat]) => `${lon.toFixed(7)},${lat.toFixed(7)}`).join(",") : "";
    if (line === this.#asked) return;
    this.#asked = line;
    this.#request?.abort();
    this.#answer = null;
    // While a line is drawn the map needs the room.
    this.#context.dock.element.classList.remove("wide");
    this.element.firstElementChild?.toggleAttribute("hidden", false);
    this.#result.replaceChildren();
    if (line !== "") void this.#ask(line);
  }

  async #ask(line: string): Promise<void> {
    const request = new AbortController();
    this.#request = request;
    this.#context.status.busy(true);
    try {
      this.#answer = await getJson<Section>(`/section?line=${line}&width=${this.#width}`, request.signal);
      if (!request.signal.aborted) this.#show();
    } catch (error) {
      if (request.signal.aborted) return;
      this.#result.replaceChildren(h("p", { class: "section-note", role: "alert" }, error instanceof Error ? error.message : String(error)));
    } finally {
      this.#context.status.busy(false);
    }
  }

  #show(): void {
    const section = this.#answer;
    if (!section) return;
    const count = section.cuts.length;
    if (count === 0) {
      this.#result.replaceChildren(h("p", { class: "empty" }, t("none")));
      return;
    }
    this.#context.dock.element.classList.add("wide");
    // How one draws is known by now; the drawing needs the room.
    this.element.firstElementChild?.toggleAttribute("hidden", true);
    const room = this.element.clientWidth || this.#context.dock.element.clientWidth - 34;
    const drawn = drawSection(section, {
      width: Math.max(320, Math.min(room, 900)),
      stretch: this.#stretch,
      label: t("drawing", { length: formatNumber(section.length_m, 1), count }),
      unknown: t("unknown"),
      colour: (layer) => layerColour(this.#context, layer),
      isSurface: this.#isSurface,
      title: ({ layer, title }) => `${pick(this.#context.state.layers.get(layer)?.title)} ${title}`.trim(),
      pointed: (number) => this.#mark(number),
      chosen: ({ cut }) => this.#context.openFeature(cut.layer, cut.fid),
    });
    const uncertain = drawn.cuts.some((one) => one.uncertain);
    const save = (): void => saveDrawing(drawn.element, "bandoso-section");
    this.#result.replaceChildren(
      h("div", { class: "section-drawing" }, drawn.element),
      h("p", { class: "tool-hint" }, t(HINTS[groundOf(section).kind], { stretch: formatNumber(drawn.stretch) })),
      ...(uncertain ? [h("p", { class: "tool-hint" }, t("uncertain"))] : []),
      ...(section.complete === false ? [h("p", { class: "section-note" }, t("more"))] : []),
      this.#verdicts(section, drawn.cuts),
      ...this.#surface(section),
      this.#table(section, drawn.cuts),
      h("button", { type: "button", class: "small-button", onclick: save }, t("save")),
    );
  }

  #mark(number: number | null): void {
    for (const element of this.#result.querySelectorAll<Element>("[data-number]")) {
      element.classList.toggle("marked", element.getAttribute("data-number") === String(number));
    }
  }

  #verdicts(section: Section, cuts: readonly Placed[]): HTMLElement {
    const number = (index: number): number => cuts.find(({ cut }) => cut === section.cuts[index])?.number ?? 0;
    const bad = section.verdicts.filter(({ ok }) => !ok);
    const rest = section.verdicts.length - bad.length;
    const items = bad.map((one) =>
      h("li", { class: "breach" }, t("breach", {
        a: number(one.a),
        b: number(one.b),
        kind: t(one.kind),
        measured: formatNumber(one.measured_m, 2),
        required: formatNumber(one.required_m, 2),
        rule: one.rule,
      })),
    );
    const summary =
      section.verdicts.length === 0 ? t("noVerdict") : bad.length === 0 ? t("allClear", { count: rest }) : t("clear", { count: rest });
    return h("div", { class: "section-verdicts" }, h("h3", {}, t("verdicts")), h("ul", {}, ...items), h("p", { class: "tool-hint" }, summary));
  }

  readonly #isSurface = (id: string): boolean => {
    const layer = this.#context.state.layers.get(id);
    return layer !== undefined && !layer.fields.some(({ name }) => name === "depth_m");
  };

  #surface(section: Section): HTMLElement[] {
    const strips = onGround(section, this.#isSurface).toSorted((a, b) => a.from - b.from);
    if (strips.length === 0) return [];
    const items = strips.map(({ cut, from, to }) => {
      const title = pick(this.#context.state.layers.get(cut.layer)?.title) || cut.layer;
      const open = (): void => this.#context.openFeature(cut.layer, cut.fid);
      const button = h("button", { type: "button", class: "text-button", onclick: open }, `${title} ${cut.title}`);
      return h("li", {}, button, ` ${formatNumber(from, 1)}–${formatNumber(to, 1)} m`);
    });
    return [h("details", { class: "section-surface" }, h("summary", {}, t("surface", { count: items.length })), h("ul", {}, ...items))];
  }

  #table(section: Section, cuts: readonly Placed[]): HTMLElement {
    const metres = (value: number | null): string => (value === null ? "–" : formatNumber(value, 2));
    const heights = groundOf(section).kind !== "level";
    const head = ["number", "asset", "station", "depth", ...(heights ? (["level"] as const) : []), "size", "quality"] as const;
    const rows = cuts.map(({ cut, number, middle }) => {
      const layer = this.#context.state.layers.get(cut.layer);
      const open = (): void => this.#context.openFeature(cut.layer, cut.fid);
      const name = h("button", { type: "button", class: "text-button", onclick: open }, pick(layer?.title) || cut.layer);
      const row = h(
        "tr",
        { "data-number": number },
        h("td", {}, String(number)),
        h("td", {}, name, h("small", {}, cut.title || cut.asset_id)),
        h("td", {}, metres(cut.station_m)),
        h("td", {}, metres(cut.depth_m)),
        heights && h("td", {}, metres(middle)),
        h("td", {}, sizeText(cut.width_m, cut.height_m)),
        h("td", {}, qualityTitle(layer?.fields, cut.quality)),
      );
      row.addEventListener("pointerenter", () => this.#mark(number));
      row.addEventListener("pointerleave", () => this.#mark(null));
      return row;
    });
    return h(
      "div",
      { class: "section-table" },
      h("table", {}, h("thead", {}, h("tr", {}, ...head.map((key) => h("th", { scope: "col" }, t(key))))), h("tbody", {}, ...rows)),
    );
  }
}

/** `D 400` for what is round, width by height (mm) otherwise. */
function sizeText(width: number | null, height: number | null): string {
  if (!width) return "–";
  const millimetres = (value: number): string => formatNumber(value * 1000, 0);
  return height === null || height === width ? `D ${millimetres(width)}` : `${millimetres(width)} × ${millimetres(height)}`;
}

/** The level's letter, or its words where the field says them. */
function qualityTitle(fields: readonly Field[] | undefined, quality: string | null): string {
  if (quality === null) return t("qualityUnknown");
  const domain = fields?.find(({ name }) => name === "quality_level")?.domain;
  return pick(domain?.find(({ value }) => value === quality)?.title) || quality;
}
