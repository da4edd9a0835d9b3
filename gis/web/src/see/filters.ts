/** Filters by attribute: what may be asked of a field, and the MapLibre filter that asks it. Pure. */
import type { Field, Layer, Value } from "../types.ts";

export type Operator = "is" | "not" | "lt" | "le" | "gt" | "ge" | "has" | "begins" | "empty" | "filled";

export interface Condition {
  field: string;
  operator: Operator;
  /** Of `empty` and `filled`: nothing. */
  value: string;
}

export interface Filter {
  /** Whether all conditions must hold; otherwise any. */
  all: boolean;
  conditions: Condition[];
}

const ORDERED: readonly Operator[] = ["is", "not", "lt", "le", "gt", "ge", "empty", "filled"];
/** A filter that a person can still read. */
export const MOST_CONDITIONS = 8;
const MOST_LETTERS = 100;

export function takesValue(operator: Operator): boolean {
  return operator !== "empty" && operator !== "filled";
}

/** What may be asked of a field, by its type and whether its values are listed. */
export function operatorsOf(field: Field): readonly Operator[] {
  if (field.type === "boolean") return ["is", "empty", "filled"];
  if (field.domain) return ["is", "not", "empty", "filled"];
  if (field.type === "string") return ["has", "begins", "is", "not", "empty", "filled"];
  return ORDERED;
}

/** The fields that tiles hold at some zoom, in the layer's order. */
export function filterable(layer: Layer): Field[] {
  return layer.fields.filter((field) => field.from_zoom !== null && !["fid", "version"].includes(field.name));
}

/** The fields that tiles never hold: nothing can be asked of them on the map. */
export function notFilterable(layer: Layer): Field[] {
  return layer.fields.filter((field) => field.from_zoom === null && !["fid", "version"].includes(field.name));
}

type Expression = unknown[] | boolean;
const COMPARE: Partial<Record<Operator, string>> = { is: "==", not: "!=", lt: "<", le: "<=", gt: ">", ge: ">=" };

/** The condition as an expression; null when it says nothing yet (no value, no number where one is needed). */
export function conditionExpression(condition: Condition, field: Field): Expression | null {
  const got = ["get", field.name];
  const { operator, value } = condition;
  if (operator === "filled") return ["has", field.name];
  if (operator === "empty") return ["!", ["has", field.name]];
  if (value === "") return null;
  const compare = COMPARE[operator];
  if (field.type === "integer" || field.type === "number") {
    const number = Number(value.replace(",", "."));
    if (!compare || !Number.isFinite(number)) return null;
    // A feature without a value is neither less nor more; it is not what "is not" asks for either.
    return ["all", ["has", field.name], [compare, ["to-number", got], number]];
  }
  if (field.type === "boolean") return ["==", ["to-string", got], value === "true" ? "true" : "false"];
  const text = ["to-string", got];
  if (operator === "has") return ["in", value.toLowerCase(), ["downcase", text]];
  if (operator === "begins") return ["==", ["slice", ["downcase", text], 0, value.length], value.toLowerCase()];
  // Dates are ISO 8601 texts, which sort as they follow each other.
  return compare ? ["all", ["has", field.name], [compare, text, value]] : null;
}

/** From which zoom on the filter can be told; null when it asks nothing. */
export function filterZoom(filter: Filter, layer: Layer): number | null {
  const zooms = asked(filter, layer).map(({ field }) => field.from_zoom ?? 0);
  return zooms.length > 0 ? Math.max(...zooms) : null;
}

function asked(filter: Filter, layer: Layer): { field: Field; expression: Expression }[] {
  return filter.conditions.flatMap((condition) => {
    const field = layer.fields.find(({ name }) => name === condition.field);
    if (!field || field.from_zoom === null) return [];
    const expression = conditionExpression(condition, field);
    return expression === null ? [] : [{ field, expression }];
  });
}

/** The filter of a layer; null when it asks nothing. Below filterZoom everything is drawn: nothing is known there. */
export function filterExpression(filter: Filter, layer: Layer): Expression | null {
  const parts = asked(filter, layer);
  const zoom = filterZoom(filter, layer);
  if (zoom === null) return null;
  const joined = [filter.all ? "all" : "any", ...parts.map(({ expression }) => expression)];
  return zoom > layer.tiles.min_zoom ? ["any", ["<", ["zoom"], zoom], joined] : joined;
}

const OPERATORS = new Set<string>(["is", "not", "lt", "le", "gt", "ge", "has", "begins", "empty", "filled"]);
const ID = /^[a-z][a-z0-9_]{0,47}$/;

/** `water_pipe*material.is.pvc*diameter_mm.ge.200,...`; a `!` after the layer means any instead of all. */
export function writeFilters(filters: ReadonlyMap<string, Filter>): string | null {
  const parts = [...filters].flatMap(([layer, { all, conditions }]) => {
    const said = conditions.filter(({ operator, value }) => !takesValue(operator) || value !== "");
    if (said.length === 0) return [];
    const texts = said.map(({ field, operator, value }) => `${field}.${operator}.${escaped(value)}`);
    return [`${layer}${all ? "" : "!"}*${texts.join("*")}`];
  });
  return parts.length > 0 ? parts.join(",") : null;
}

export function readFilters(text: string | null): Map<string, Filter> {
  const filters = new Map<string, Filter>();
  for (const part of (text ?? "").split(",")) {
    const [head = "", ...rest] = part.split("*");
    const layer = head.replace(/!$/, "");
    if (!ID.test(layer)) continue;
    const conditions = rest.slice(0, MOST_CONDITIONS).flatMap((one): Condition[] => {
      const [field = "", operator = "", value = ""] = one.split(".");
      if (!ID.test(field) || !OPERATORS.has(operator)) return [];
      return [{ field, operator: operator as Operator, value: unescaped(value).slice(0, MOST_LETTERS) }];
    });
    if (conditions.length > 0) filters.set(layer, { all: !head.endsWith("!"), conditions });
  }
  return filters;
}

/** The signs of the form above stand for themselves nowhere in a value. */
function escaped(value: Value): string {
  return String(value).replace(/[%.,*]/g, (sign) => `%${sign.charCodeAt(0).toString(16)}`);
}

function unescaped(text: string): string {
  return text.replace(/%(25|2e|2c|2a)/gi, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
}
