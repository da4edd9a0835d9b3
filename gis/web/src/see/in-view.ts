/** What a map view holds: which entries of the legend, which kinds of lines. Pure but for asking the map. */
import type { Map as MapView } from "maplibre-gl";
import { visiblePart } from "../cover.ts";
import type { Layer } from "../types.ts";
import { isGraduated, isOf, type ColourClass } from "./colouring.ts";

export type Properties = Record<string, unknown>;

/** What is seen of one layer. */
export interface Seen {
  /** Places in the layer's legend, or in the classes that it is coloured by; -1: none of these. */
  entries: Set<number>;
  /** Parts of the style: `line-planned`, `uncertain`, `arrow`, ... */
  parts: Set<string>;
}

/** The filters of the server's legends: comparisons, lists, and what joins them. */
export function holds(filter: unknown, properties: Properties): boolean {
  return Boolean(value(filter, properties));
}

function value(expression: unknown, properties: Properties): unknown {
  if (!Array.isArray(expression)) return expression;
  const [operator, ...rest] = expression as [string, ...unknown[]];
  const at = (i: number): unknown => value(rest[i], properties);
  switch (operator) {
    case "literal":
      return rest[0];
    case "get":
      return Object.hasOwn(properties, String(rest[0])) ? properties[String(rest[0])] : null;
    case "to-string": {
      const got = at(0);
      return got === null || got === undefined ? "" : String(got);
    }
    case "==":
      return at(0) === at(1);
    case "!":
      return !at(0);
    case "in": {
      const list = at(1);
      return Array.isArray(list) && list.includes(at(0));
    }
    case "all":
      return rest.every((_, i) => at(i));
    case "any":
      return rest.some((_, i) => at(i));
    default:
      return true; // not one of ours: better one entry too many than one missing
  }
}

/** The features drawn now, by layer. `classes`: what a layer is coloured by, if it is. */
export function seen(
  map: MapView,
  layers: ReadonlyMap<string, Layer>,
  classes: (layer: Layer) => { field: string; classes: readonly ColourClass[] } | null,
): Map<string, Seen> {
  const found = new Map<string, Seen>();
  const asked = new Map<string, ReturnType<typeof classes>>();
  const [left, top, right, bottom] = visiblePart(map);
  for (const feature of map.queryRenderedFeatures([
    [left, top],
    [right, bottom],
  ])) {
    const id = (feature.layer.metadata as Properties | undefined)?.["bandoso:layer"];
    const layer = typeof id === "string" ? layers.get(id) : undefined;
    if (!layer) continue;
    let one = found.get(layer.id);
    if (!one) {
      one = { entries: new Set(), parts: new Set() };
      found.set(layer.id, one);
      asked.set(layer.id, classes(layer));
    }
    one.parts.add(feature.layer.id.slice(layer.id.length + 1));
    const by = asked.get(layer.id) ?? null;
    const all = by ? by.classes.length + 1 : layer.legend.length;
    if (one.entries.size < all) one.entries.add(entryOf(layer, by, feature.properties));
  }
  return found;
}

export function entryOf(
  layer: Layer,
  by: { field: string; classes: readonly ColourClass[] } | null,
  properties: Properties,
): number {
  if (by) return by.classes.findIndex((one) => isOf(one, properties[by.field]));
  return layer.legend.findIndex(({ filter }) => filter === null || holds(filter, properties));
}

/** The values of a field in the tiles that are loaded, for its classes: numbers, or texts. */
export function valuesInTiles(map: MapView, layer: Layer, name: string): { numbers: number[]; texts: string[] } {
  const field = layer.fields.find((one) => one.name === name);
  const numbers: number[] = [];
  const texts: string[] = [];
  for (const source of Object.keys(map.getStyle().sources)) {
    if (map.getSource(source)?.type !== "vector") continue;
    for (const { properties } of map.querySourceFeatures(source, { sourceLayer: layer.id })) {
      const got: unknown = properties[name];
      if (got === undefined || got === null) continue;
      if (field && isGraduated(field)) numbers.push(Number(got));
      else texts.push(String(got));
    }
  }
  return { numbers, texts };
}
