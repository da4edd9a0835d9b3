/** The legend of what is in view: only entries of which a feature is drawn now. */
import { formatValue } from "../attributes.ts";
import type { PageContext } from "../context.ts";
import { h } from "../dom.ts";
import { formatNumber, pick, texts } from "../i18n.ts";
import { swatch } from "../legend.ts";
import type { Field, Layer, LegendEntry } from "../types.ts";
import { type ColourClass, classesOf } from "./colouring.ts";
import { OTHER } from "./colours.ts";
import { depthClasses, depthZoom, UNKNOWN } from "./depth.ts";
import type { Seen } from "./in-view.ts";
import { TEXTS } from "./texts.ts";
import type { SeeView } from "./view.ts";

const t = texts(TEXTS);

/** Parts of the style that mean the same in every layer. */
const SIGNS = [
  ["line-planned", "planned", { dash: [2, 2], width: 2.5, colour: "#4a5a66" }],
  ["line-retired", "retired", { dash: [1, 3], width: 2.5, colour: "#7d8790" }],
  ["uncertain", "uncertain", { dash: null, width: 6, colour: "#a9b8c4" }],
  ["arrow", "arrow", null],
] as const;

/** The agencies by the id that features hold as their owner. */
function ownerTitle(context: PageContext, owner: string): string {
  const layer = [...context.state.layers.values()].find((one) => one.owner === owner && one.agency);
  return pick(layer?.agency) || owner;
}

/** What a class is called. */
export function classTitle(context: PageContext, one: ColourClass, field: Field): string {
  if (one.range) return rangeTitle(one.range, (value) => formatValue(value, field));
  if (one.title) return pick(one.title);
  if (field.type === "boolean") return t(one.value === "true" ? "yes" : "no");
  return field.name === "owner" ? ownerTitle(context, one.value ?? "") : formatValue(one.value, field);
}

function rangeTitle([from, to]: readonly [number | null, number | null], format: (value: number) => string): string {
  if (from === null && to === null) return "";
  if (from === null) return t("below", { to: format(to ?? 0) });
  return to === null ? t("above", { from: format(from) }) : t("between", { from: format(from), to: format(to) });
}

export class LegendPanel {
  readonly element = h("div", { class: "see-legend", "aria-live": "off" });
  readonly #context: PageContext;
  readonly #view: SeeView;

  constructor(context: PageContext, view: SeeView) {
    this.#context = context;
    this.#view = view;
  }

  show(found: ReadonlyMap<string, Seen>): void {
    const { catalogue, map } = this.#context;
    const groups = catalogue.sectors.flatMap((sector) => {
      const layers = sector.layers.filter(({ id }) => found.has(id));
      if (layers.length === 0) return [];
      return [h("section", {}, h("h4", {}, pick(sector.title)), ...layers.map((layer) => this.#layer(layer, found.get(layer.id))))];
    });
    const parts = new Set([...found.values()].flatMap((one) => [...one.parts]));
    const signs = SIGNS.filter(([part]) => parts.has(part));
    if (signs.length > 0) {
      const rows = signs.map(([, key, line]) => row(line ? this.#line(line) : arrowSwatch(this.#context), t(key)));
      groups.push(h("section", {}, h("h4", {}, t("signs")), h("ul", {}, ...rows)));
    }
    const depths = this.#view.underground ? [this.#depths(map.getZoom())] : [];
    this.element.classList.toggle("on-dark", this.#view.isDark);
    this.element.replaceChildren(...depths, ...groups);
    if (groups.length === 0) this.element.append(h("p", { class: "tool-hint" }, t("legendEmpty")));
  }

  #line(line: { dash: readonly number[] | null; width: number; colour: string }): SVGElement {
    const entry = { kind: "line", outline: null, icon: null, filter: null, title: { vi: "", en: "" } } as const;
    return swatch({ ...entry, ...line, dash: line.dash ? [...line.dash] : null }, this.#context.icons);
  }

  #depths(zoom: number): HTMLElement {
    const rows = depthClasses(this.#view.isDark).map(({ range, colour }) =>
      row(this.#line({ dash: null, width: 4, colour }), rangeTitle(range, (value) => `${formatNumber(value)} m`)),
    );
    rows.push(row(this.#line({ dash: null, width: 4, colour: UNKNOWN }), t("depthUnknown")));
    const zooms = [...this.#context.state.layers.values()].map(depthZoom).filter((one) => one !== null);
    const from = Math.min(...zooms);
    return h(
      "section",
      {},
      h("h4", {}, t("underground")),
      zoom < from ? h("p", { class: "tool-hint" }, t("undergroundZoom", { zoom: from })) : null,
      h("ul", {}, ...rows),
    );
  }

  #layer(layer: Layer, found: Seen | undefined): HTMLElement {
    const entries = found?.entries ?? new Set<number>();
    const colouring = this.#view.colouring(layer.id);
    const field = colouring && this.#view.field(layer, colouring.field);
    const kind = layer.legend[0]?.kind ?? "line";
    const drawn = (entry: LegendEntry): LegendEntry => ({
      ...entry,
      colour: this.#view.legendColour(layer, entry.colour, entry.kind),
    });
    let rows: HTMLElement[];
    if (colouring && field) {
      const classes = classesOf(colouring, field, this.#view.isDark);
      const plain = (colour: string): LegendEntry => ({
        ...(layer.legend[0] as LegendEntry),
        kind,
        colour,
        outline: null,
        icon: null,
      });
      rows = classes.flatMap((one, i) =>
        entries.has(i) ? [row(swatch(plain(one.colour), this.#context.icons), classTitle(this.#context, one, field))] : [],
      );
      if (entries.has(-1)) rows.push(row(swatch(plain(OTHER), this.#context.icons), t("other")));
    } else {
      const many = layer.legend.length > 1;
      rows = layer.legend.flatMap((entry, i) =>
        entries.has(i) || !many
          ? [row(swatch(drawn(entry), this.#context.icons), many ? pick(entry.title) : pick(layer.title))]
          : [],
      );
      if (!many) return h("ul", {}, ...rows);
    }
    const by = field ? ` · ${pick(field.title)}` : "";
    return h("div", { class: "see-classes" }, h("h5", {}, pick(layer.title) + by), h("ul", {}, ...rows));
  }
}

function row(sign: Node, title: string): HTMLElement {
  return h("li", {}, sign, h("span", {}, title));
}

function arrowSwatch(context: PageContext): SVGElement {
  const entry = { kind: "point", colour: "#17242e", outline: null, dash: null, width: 3, icon: "flow_arrow", filter: null } as const;
  return swatch({ ...entry, title: { vi: "", en: "" } }, context.icons);
}
