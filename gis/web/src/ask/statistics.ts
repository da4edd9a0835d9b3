/** What POST /statistics tells of an area, and how it is shown. */
import { formatValue } from "../attributes.ts";
import type { PageContext } from "../context.ts";
import { h } from "../dom.ts";
import { formatNumber, pick, texts } from "../i18n.ts";
import { layerSwatch } from "../legend.ts";
import type { Layer } from "../types.ts";
import { TEXTS } from "./texts.ts";

const t = texts(TEXTS);

export interface Group {
  by: string[];
  rows: { values: unknown[]; count: number; length_m: number | null; area_m2: number | null }[];
}

export interface LayerStatistics {
  layer: string;
  count: number;
  length_m: number | null;
  area_m2: number | null;
  groups: Group[];
}

export interface Statistics {
  layers: LayerStatistics[];
  exact: boolean;
}

const measured = (value: number | null): string => (value === null ? "" : formatNumber(value, value < 100 ? 2 : 0));

/** `openTable` shows the rows of a layer. */
export function statisticsView(
  context: PageContext,
  found: Statistics,
  openTable: (layer: Layer) => void,
): HTMLElement {
  const layers = found.layers.filter((one) => one.count > 0 && context.state.layers.has(one.layer));
  if (layers.length === 0) return h("p", { class: "tool-hint" }, t("nothing"));
  const total = layers.reduce((sum, one) => sum + one.count, 0);
  return h(
    "div",
    { class: "statistics" },
    h("p", {}, t("total", { count: formatNumber(total, 0), layers: layers.length })),
    found.exact ? null : h("p", { class: "tool-hint" }, t("estimate")),
    ...layers.map((one) => layerView(context, one, openTable)),
  );
}

function layerView(context: PageContext, one: LayerStatistics, openTable: (layer: Layer) => void): HTMLElement {
  const layer = context.state.layers.get(one.layer) as Layer;
  const figures = [
    formatNumber(one.count, 0),
    one.length_m === null ? "" : `${measured(one.length_m)} m`,
    one.area_m2 === null ? "" : `${measured(one.area_m2)} m²`,
  ].filter((text) => text !== "");
  const section = h(
    "details",
    { class: "layer-statistics" },
    h(
      "summary",
      {},
      layerSwatch(layer, context.icons),
      h("span", { class: "title" }, pick(layer.title)),
      h("span", { class: "figures" }, figures.join(" · ")),
    ),
    ...one.groups.filter((group) => group.rows.length > 0).map((group) => groupView(layer, group)),
    h(
      "button",
      { type: "button", class: "text-button", onclick: () => openTable(layer) },
      t("openTable"),
    ),
  );
  section.dataset["layer"] = layer.id;
  return section;
}

function groupView(layer: Layer, { by, rows }: Group): HTMLElement {
  const fields = by.map((name) => layer.fields.find((field) => field.name === name));
  const titles = by.map((name, at) => pick(fields[at]?.title) || name);
  const withLength = rows.some((row) => row.length_m !== null);
  const withArea = rows.some((row) => row.area_m2 !== null);
  const head = (text: string): HTMLElement => h("th", { scope: "col" }, text);
  const value = (one: unknown, at: number): string =>
    one === null || one === undefined || one === "" ? t("empty") : formatValue(one, fields[at]);
  return h(
    "table",
    { class: "figures-table" },
    h("caption", {}, t("groupedBy", { fields: titles.join(", ") })),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        ...titles.map(head),
        head(t("count")),
        withLength ? head(t("length")) : null,
        withArea ? head(t("area")) : null,
      ),
    ),
    h(
      "tbody",
      {},
      ...rows.map((row) =>
        h(
          "tr",
          {},
          ...(row.values.length === by.length
            ? row.values.map((one, at) => h(at === 0 ? "th" : "td", at === 0 ? { scope: "row" } : {}, value(one, at)))
            : [h("th", { scope: "row", colspan: by.length }, t("others"))]),
          h("td", { class: "number" }, formatNumber(row.count, 0)),
          withLength ? h("td", { class: "number" }, measured(row.length_m)) : null,
          withArea ? h("td", { class: "number" }, measured(row.area_m2)) : null,
        ),
      ),
    ),
  );
}
