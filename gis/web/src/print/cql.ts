/** The reader's filters as CQL2 text, which prints and exports take. Pure. */
import type { Condition, Filter } from "../see/filters.ts";
import type { Field, Layer } from "../types.ts";

const COMPARE: Partial<Record<Condition["operator"], string>> = {
  is: "=",
  not: "<>",
  lt: "<",
  le: "<=",
  gt: ">",
  ge: ">=",
};

const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** `%` and `_` stand for letters in LIKE; a backslash makes them stand for themselves. */
const literally = (text: string): string => text.replace(/[\\%_]/g, "\\$&");

/** The value of a comparison; null when it cannot be one of the field's. */
function literal(field: Field, value: string): string | null {
  switch (field.type) {
    case "integer":
    case "number": {
      const number = Number(value.replace(",", "."));
      return Number.isFinite(number) && value.trim() !== "" ? String(number) : null;
    }
    case "boolean":
      return value === "true" ? "TRUE" : "FALSE";
    case "date":
      return /^\d{4}-\d{2}-\d{2}$/.test(value) ? `DATE('${value}')` : null;
    case "datetime":
      return /^\d{4}-\d{2}-\d{2}$/.test(value)
        ? `TIMESTAMP('${value}T00:00:00Z')`
        : /^\d{4}-\d{2}-\d{2}T[\d:.]+Z$/.test(value)
          ? `TIMESTAMP('${value}')`
          : null;
    case "string":
      return quoted(value);
  }
}

/** Null when the condition says nothing yet; undefined when CQL2 cannot say it. */
function condition({ field: name, operator, value }: Condition, field: Field): string | null | undefined {
  if (operator === "empty") return `${name} IS NULL`;
  if (operator === "filled") return `${name} IS NOT NULL`;
  if (value === "") return null;
  if (operator === "has") return `CASEI(${name}) LIKE CASEI(${quoted(`%${literally(value)}%`)})`;
  if (operator === "begins") return `CASEI(${name}) LIKE CASEI(${quoted(`${literally(value)}%`)})`;
  const compare = COMPARE[operator];
  const other = literal(field, value);
  return compare && other !== null ? `${name} ${compare} ${other}` : undefined;
}

/** The filter of a layer as CQL2 text: null when it asks nothing, undefined when CQL2 cannot say it. */
export function filterCql(filter: Filter, layer: Layer): string | null | undefined {
  const parts: string[] = [];
  for (const one of filter.conditions) {
    const field = layer.fields.find(({ name }) => name === one.field);
    if (!field) continue;
    const text = condition(one, field);
    if (text === undefined) return undefined;
    if (text !== null) parts.push(text);
  }
  if (parts.length === 0) return null;
  return parts.length === 1 ? (parts[0] as string) : parts.map((part) => `(${part})`).join(filter.all ? " AND " : " OR ");
}

/** The filters of layers: as CQL2 by layer, and the layers whose filter CQL2 cannot say. */
export function filtersOf(
  layers: readonly Layer[],
  filterOf: (layer: string) => Filter | null,
): { filters: Record<string, string>; unfiltered: string[] } {
  const filters: Record<string, string> = {};
  const unfiltered: string[] = [];
  for (const layer of layers) {
    const filter = filterOf(layer.id);
    const text = filter ? filterCql(filter, layer) : null;
    if (text === undefined) unfiltered.push(layer.id);
    else if (text !== null) filters[layer.id] = text;
  }
  return { filters, unfiltered };
}
