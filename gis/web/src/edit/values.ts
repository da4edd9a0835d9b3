/** What a person types into a field, as a value of the layer's schema; and the other way. */

export interface SchemaField {
  title?: string;
  description?: string;
  type?: "string" | "integer" | "number" | "boolean";
  format?: string;
  enum?: (string | number)[];
  oneOf?: { const: string | number; title?: string }[];
  minimum?: number;
  maximum?: number;
  maxLength?: number;
  default?: unknown;
  readOnly?: boolean;
  "x-ogc-unit"?: string;
  "x-ogc-propertySeq"?: number;
}

/** GET /collections/{id}/schema. */
export interface Schema {
  title?: string;
  properties: Record<string, SchemaField>;
  required?: string[];
}

export interface Mistake {
  key: "isRequired" | "noNumber" | "noInteger" | "tooSmall" | "tooLarge" | "tooLong";
  parameters: Record<string, string | number>;
}

/** The server fills these when they are left out of a new feature. */
const FILLED = new Set(["asset_id", "owner", "status"]);

/** A value as its field shows it. */
export function shown(value: unknown, field: SchemaField): string {
  if (value === null || value === undefined) return "";
  if (field.type === "number" || field.type === "integer" || field.type === "boolean") return String(value);
  return typeof value === "string" ? value : JSON.stringify(value);
}

/**
 * What was typed: a value (null: nothing), or what is wrong with it. A decimal comma is a decimal point; thousands
 * have no separators, so that 1.500 is one and a half in every language.
 */
export function checked(text: string, field: SchemaField, required: boolean): { value: unknown; problem?: Mistake } {
  const trimmed = text.trim();
  if (trimmed === "") return required ? { value: null, problem: { key: "isRequired", parameters: {} } } : { value: null };
  if (field.enum) return { value: field.enum.find((one) => String(one) === trimmed) ?? trimmed };
  if (field.type === "boolean") return { value: trimmed === "true" };
  if (field.type === "integer" || field.type === "number") return number(trimmed, field);
  if (field.maxLength !== undefined && [...trimmed].length > field.maxLength) {
    return { value: trimmed, problem: { key: "tooLong", parameters: { most: field.maxLength } } };
  }
  return { value: trimmed };
}

function number(text: string, field: SchemaField): { value: unknown; problem?: Mistake } {
  const plain = text.replace(",", ".");
  if (!/^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(plain)) return { value: text, problem: { key: "noNumber", parameters: {} } };
  const value = Number(plain);
  if (field.type === "integer" && !Number.isSafeInteger(value)) return { value, problem: { key: "noInteger", parameters: {} } };
  if (field.minimum !== undefined && value < field.minimum) {
    return { value, problem: { key: "tooSmall", parameters: { least: field.minimum } } };
  }
  if (field.maximum !== undefined && value > field.maximum) {
    return { value, problem: { key: "tooLarge", parameters: { most: field.maximum } } };
  }
  return { value };
}

/** Attributes that a new feature begins with. */
export function defaults(schema: Schema): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(schema.properties)
      .filter(([, field]) => field.default !== undefined && !field.readOnly)
      .map(([name, field]) => [name, field.default]),
  );
}

/** What the reader must fill: the server fills the rest. */
export function withoutFilled(schema: Schema): Schema {
  return { ...schema, required: (schema.required ?? []).filter((name) => !FILLED.has(name)) };
}
