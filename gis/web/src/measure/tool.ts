/** The tool that measures length, area and bearing. What is measured stands in the link (`measure=`). */
import { copyText } from "../clipboard.ts";
import type { PageContext, ToolPanel } from "../context.ts";
import { visibleBox } from "../cover.ts";
import type { Position } from "../crs.ts";
import { h } from "../dom.ts";
import { onLanguage, texts } from "../i18n.ts";
import { readPlaces, writePlaces } from "../polyline.ts";
import { Sketch } from "../sketch.ts";
import { asTable, fixed, formatArea, formatAzimuth, formatLength, measure, measuringSystem } from "./report.ts";
import { TEXTS } from "./texts.ts";
import "../tools.css";
import "./measure.css";

const t = texts(TEXTS);
const KINDS = ["line", "polygon"] as const;
type Kind = (typeof KINDS)[number];

/** The tool that is open: language and link outlive it, so they ask here. */
let present: Measure | null = null;
let listening = false;
/** What the link says while the tool is closed. */
let said: string | null = null;

export function open(context: PageContext): ToolPanel {
  present = new Measure(context);
  if (!listening) {
    listening = true;
    onLanguage(() => present?.build());
    context.link.register("measure", {
      read: (text) => (present ? present.read(text) : void (said = text)),
      write: () => present?.write() ?? null,
    });
  } else {
    present.read(said);
  }
  return present;
}

class Measure implements ToolPanel {
  readonly element = h("div", { class: "measure" });
  readonly #context: PageContext;
  readonly #sketch: Sketch;
  readonly #results = h("dl", { class: "measure-results", "aria-live": "polite" });
  readonly #table = h("div", { class: "measure-points" });
  readonly #place = h("input", { type: "text", class: "field", autocomplete: "off", spellcheck: "false" });
  #kind: Kind = "line";

  constructor(context: PageContext) {
    this.#context = context;
    this.#sketch = new Sketch(context, "line", {
      id: "bandoso-measure",
      colour: "#6a1b9a",
      changed: () => this.#show(),
      live: true,
      label: (from, to) => this.#label(from, to),
    });
    this.build();
    this.#sketch.start("line");
  }

  close(): void {
    said = this.write();
    this.#sketch.close();
    present = null;
  }

  /** `l` or `p` and the places. */
  write(): string | null {
    const { points, shape } = this.#sketch;
    return points.length > 0 ? (shape === "line" ? "l" : "p") + writePlaces(points) : null;
  }

  read(text: string | null): void {
    const places = text === null ? [] : (readPlaces(text.slice(1)) ?? []);
    if (text === this.write()) return;
    this.#kind = text?.startsWith("p") ? "polygon" : "line";
    this.#sketch.start(this.#kind, places);
    this.build();
  }

  build(): void {
    const kinds = KINDS.map((kind) => {
      const radio = h("input", {
        type: "radio",
        name: "measure-kind",
        value: kind,
        checked: kind === this.#kind,
        onchange: () => this.#setKind(kind),
      });
      return h("label", {}, radio, h("span", {}, t(kind)));
    });
    const button = (key: "undo" | "finish" | "clear" | "copy", onclick: () => void): HTMLElement =>
      h("button", { type: "button", class: "small-button", "data-do": key, onclick }, t(key));
    this.#place.placeholder = t("addHint");
    this.#place.setAttribute("aria-label", t("addPlace"));
    this.element.replaceChildren(
      h("fieldset", { class: "segments", role: "radiogroup", "aria-label": t("kind") }, ...kinds),
      h("p", { class: "tool-hint" }, t("hint")),
      this.#results,
      h(
        "div",
        { class: "buttons" },
        button("undo", () => this.#sketch.points.length > 0 && this.#sketch.undo()),
        button("finish", () => this.#sketch.finish()),
        button("clear", () => this.#sketch.start(this.#kind)),
        button("copy", () => void this.#copy()),
      ),
      this.#table,
      h(
        "form",
        { class: "one-line", onsubmit: (event) => this.#addTyped(event) },
        this.#place,
        h("button", { type: "submit", class: "small-button" }, t("add")),
      ),
    );
    this.#sketch.redraw();
    this.#show();
  }

  #setKind(kind: Kind): void {
    this.#kind = kind;
    const { points, done } = this.#sketch;
    this.#sketch.start(kind, points, done && points.length >= 3);
  }

  #system() {
    return measuringSystem(this.#context.transform(), this.#context.transforms);
  }

  #label(from: Position, to: Position): string {
    const [leg] = measure([from, to], false, this.#system()).legs;
    return leg ? formatLength((leg.plane ?? leg.geodesic).length) : "";
  }

  #show(): void {
    const sketch = this.#sketch as Sketch | undefined;
    if (!sketch) return;
    const system = this.#system();
    const found = measure(sketch.live, this.#kind === "polygon", system);
    const rows: HTMLElement[] = [];
    const add = (head: string, lines: readonly [string, string][]): void => {
      rows.push(h("dt", {}, head));
      rows.push(...lines.map(([label, value]) => h("dd", {}, h("span", {}, label), " ", h("output", {}, value))));
    };
    const last = found.legs.at(this.#kind === "polygon" && found.area ? -2 : -1);
    const around = found.area ? t("perimeter") : t("length");
    if (system && found.length.plane !== null) {
      add(t("onPlane", { crs: system.name }), [
        ...(found.area && found.area.plane !== null ? [[t("area"), formatArea(found.area.plane)] as [string, string]] : []),
        [around, formatLength(found.length.plane)],
        ...(last?.plane ? [[t("gridBearing"), formatAzimuth(last.plane.azimuth)] as [string, string]] : []),
      ]);
    }
    add(t("onEllipsoid"), [
      ...(found.area ? [[t("area"), formatArea(found.area.geodesic)] as [string, string]] : []),
      [around, formatLength(found.length.geodesic)],
      ...(last ? [[t("trueBearing"), formatAzimuth(last.geodesic.azimuth)] as [string, string]] : []),
    ]);
    this.#results.replaceChildren(...rows);
    for (const [key, on] of [
      ["undo", sketch.points.length > 0],
      ["finish", sketch.whole && !sketch.done],
      ["clear", sketch.points.length > 0],
      ["copy", sketch.points.length > 0],
    ] as const) {
      const button = this.element.querySelector<HTMLButtonElement>(`[data-do=${key}]`);
      if (button) button.disabled = !on;
    }
    this.#showPoints();
    this.#context.link.changed();
  }

  #showPoints(): void {
    const { points } = this.#sketch;
    if (points.length === 0) {
      this.#table.replaceChildren(h("p", { class: "tool-hint" }, t("noPlace")));
      return;
    }
    const found = measure(points, this.#kind === "polygon", this.#system());
    const rows = points.map((place, at) => {
      const [east, north] = found.plane[at] ?? [];
      const leg = found.legs[at];
      const along = leg?.plane ?? leg?.geodesic;
      return h(
        "tr",
        {},
        h("th", { scope: "row" }, String(at + 1)),
        h("td", {}, north === undefined ? place[1].toFixed(7) : north.toFixed(2)),
        h("td", {}, east === undefined ? place[0].toFixed(7) : east.toFixed(2)),
        h("td", {}, along ? fixed(along.length, 2) : ""),
        h("td", {}, along ? formatAzimuth(along.azimuth) : ""),
      );
    });
    const heads = found.system ? ([t("north"), t("east")] as const) : ([t("latitude"), t("longitude")] as const);
    this.#table.replaceChildren(
      h(
        "table",
        {},
        h("caption", {}, t("points", { crs: found.system?.name ?? "WGS 84" })),
        h("thead", {}, h("tr", {}, ...this.#heads(heads).map((head) => h("th", { scope: "col" }, head)))),
        h("tbody", {}, ...rows),
      ),
    );
  }

  #heads([first, second]: readonly [string, string]): string[] {
    return [t("number"), first, second, t("leg"), t("azimuth")];
  }

  #addTyped(event: Event): void {
    event.preventDefault();
    const place = this.#context.readPlace(this.#place.value);
    if (typeof place === "string") {
      this.#context.status.say(place);
      return;
    }
    this.#sketch.add(place);
    this.#place.value = "";
    this.#place.focus();
    const [west, south, east, north] = visibleBox(this.#context.map);
    const [lon, lat] = place;
    if (lon < west || lon > east || lat < south || lat > north) this.#context.map.easeTo({ center: place });
  }

  async #copy(): Promise<void> {
    const { points } = this.#sketch;
    const found = measure(points, this.#kind === "polygon", this.#system());
    const heads = [t("number"), t("north"), t("east"), t("latitude"), t("longitude"), t("leg"), t("azimuth")];
    const lines = [asTable(points, found, heads), ""];
    if (found.length.plane !== null) {
      lines.push(`${found.area ? t("perimeter") : t("length")} (${found.system?.name})\t${found.length.plane.toFixed(3)}`);
    }
    lines.push(`${found.area ? t("perimeter") : t("length")} (WGS 84)\t${found.length.geodesic.toFixed(3)}`);
    if (found.area) {
      if (found.area.plane !== null) lines.push(`${t("area")} (${found.system?.name})\t${found.area.plane.toFixed(2)}`);
      lines.push(`${t("area")} (WGS 84)\t${found.area.geodesic.toFixed(2)}`);
    }
    this.#context.status.say(t((await copyText(lines.join("\n"))) ? "copied" : "notCopied"));
  }
}
