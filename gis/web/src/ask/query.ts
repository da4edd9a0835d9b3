/** What is asked of the server about a selected area: addresses of rows, and filters as CQL2 text. */
import type { Position } from "../crs.ts";
import type { Box, Field } from "../types.ts";

/** Longitudes and latitudes; a ring is not closed. */
export type Area = { readonly box: Box } | { readonly ring: readonly Position[] };

export type Comparison = "contains" | "equals" | "least" | "most" | "isEmpty" | "isFilled";

export interface Condition {
  readonly field: Field;
  readonly comparison: Comparison;
  readonly value: string;
}

/** How the values of a field can be compared, the likeliest first. */
export function comparisons(field: Field): Comparison[] {
  if (field.type === "boolean" || field.domain) return ["equals", "isEmpty", "isFilled"];
  if (field.type === "string") return ["contains", "equals", "isEmpty", "isFilled"];
  return ["least", "most", "equals", "isEmpty", "isFilled"];
}

export function boxOf(a: Position, b: Position): Box {
  return [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[0], b[0]), Math.max(a[1], b[1])];
}

const degrees = (value: number): string => value.toFixed(8);

function ringText(ring: readonly Position[]): string {
  const closed = [...ring, ...ring.slice(0, 1)];
  return `POLYGON((${closed.map(([lon, lat]) => `${degrees(lon)} ${degrees(lat)}`).join(", ")}))`;
}

/** A literal of CQL2: quotes are doubled. */
function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/**
 * The condition as CQL2 text; null when its value says nothing, or nothing of the field's type. Field names
 * are the catalogue's (letters, digits and underscores).
 */
export function conditionText({ field, comparison, value }: Condition): string | null {
  const { name, type } = field;
  if (comparison === "isEmpty") return `${name} IS NULL`;
  if (comparison === "isFilled") return `${name} IS NOT NULL`;
  const text = value.trim();
  if (text === "") return null;
  if (comparison === "contains") {
    const pattern = `%${text.replace(/[\\%_]/g, "\\$&")}%`;
    return `CASEI(ACCENTI(${name})) LIKE CASEI(ACCENTI(${literal(pattern)}))`;
  }
  const sign = { equals: "=", least: ">=", most: "<=" }[comparison];
  const typed = typedLiteral(type, text);
  return typed === null ? null : `${name} ${sign} ${typed}`;
}

function typedLiteral(type: Field["type"], text: string): string | null {
  switch (type) {
    case "string":
      return literal(text);
    case "boolean":
      return /^(true|false)$/.test(text) ? text.toUpperCase() : null;
    case "integer":
    case "number": {
      const number = Number(text.replace(",", "."));
      return Number.isFinite(number) ? String(number) : null;
    }
    case "date":
      return /^\d{4}-\d{2}-\d{2}$/.test(text) ? `DATE('${text}')` : null;
    case "datetime":
      return /^\d{4}-\d{2}-\d{2}$/.test(text) ? `TIMESTAMP('${text}T00:00:00Z')` : null;
  }
}

export interface Rows {
  readonly sort?: { readonly field: string; readonly descending: boolean } | null;
  readonly limit: number;
  readonly properties?: readonly string[];
  readonly conditions?: readonly Condition[];
}

/** The address of the rows of a layer in an area. */
export function itemsPath(layer: string, area: Area, { sort, limit, properties, conditions = [] }: Rows): string {
  const asked = new URLSearchParams({ f: "json", limit: String(limit), skipGeometry: "true" });
  const filters = conditions.map(conditionText).filter((text) => text !== null);
  if ("box" in area) asked.set("bbox", area.box.map(degrees).join(","));
  else filters.unshift(`S_INTERSECTS(geometry, ${ringText(area.ring)})`);
  if (filters.length > 0) {
    asked.set("filter", filters.join(" AND "));
    asked.set("filter-lang", "cql2-text");
  }
  if (sort) asked.set("sortby", `${sort.descending ? "-" : ""}${sort.field}`);
  if (properties) asked.set("properties", properties.join(","));
  return `/collections/${encodeURIComponent(layer)}/items?${asked.toString()}`;
}

/** The area as POST /statistics and POST /export take it. */
export function areaBody(area: Area): Record<string, unknown> {
  if ("box" in area) return { bbox: area.box };
  return { geometry: { type: "Polygon", coordinates: [[...area.ring, ...area.ring.slice(0, 1)]] } };
}
