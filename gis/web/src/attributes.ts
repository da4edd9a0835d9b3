/** A feature's attributes as a reader expects them: titles, units and domain titles of the catalogue. */
import { formatDate, formatNumber, pick, t } from "./i18n.ts";
import type { TextKey } from "./texts.ts";
import type { Field, Layer } from "./types.ts";

/** Bookkeeping that few readers want: shown after everything else. */
const LAST = ["fid", "version", "updated_at"];

export interface Attribute {
  name: string;
  title: string;
  value: string;
}

/** The columns that every layer has; the catalogue may describe them too, and then it wins. */
const SYSTEM: Record<string, TextKey> = {
  fid: "featureId",
  asset_id: "assetId",
  owner: "owner",
  status: "statusField",
  version: "version",
  updated_at: "updatedAt",
};

function formatScalar(value: unknown, field: Field | undefined): string {
  if (typeof value === "boolean") return t(value ? "yes" : "no");
  if (typeof value === "number") {
    // Whole numbers without a unit are codes, years and sheet numbers: no thousands separators.
    const plain = Number.isInteger(value) && !field?.unit;
    return plain ? String(value) : formatNumber(value);
  }
  if (typeof value === "string") {
    if (field?.type === "date") return formatDate(value, false);
    if (field?.type === "datetime" || field?.name === "updated_at") return formatDate(value, true);
    return value;
  }
  return JSON.stringify(value);
}

/** One value with its domain's title or its unit. */
export function formatValue(value: unknown, field: Field | undefined): string {
  const domain = field?.domain?.find((entry) => String(entry.value) === String(value));
  if (domain) return pick(domain.title);
  const text = formatScalar(value, field);
  return field?.unit && typeof value === "number" ? `${text} ${unit(field.unit)}` : text;
}

/** Units as people write them: m2 -> m². */
function unit(name: string): string {
  return name.replace(/([a-z])2\b/g, "$1²").replace(/([a-z])3\b/g, "$1³");
}

/** All attributes that have a value, in the order of the catalogue; unknown ones last, under their own name. */
export function attributes(layer: Layer, properties: Record<string, unknown>): Attribute[] {
  const known = new Map(layer.fields.map((field) => [field.name, field]));
  const described = layer.fields.map((field) => field.name).filter((name) => name in properties);
  const others = Object.keys(properties).filter((name) => !known.has(name));
  const rows: Attribute[] = [];
  const names = [...described, ...others];
  for (const name of [...names.filter((n) => !LAST.includes(n)), ...names.filter((n) => LAST.includes(n))]) {
    const value = properties[name];
    if (value === null || value === undefined || value === "") continue;
    const field = known.get(name);
    const systemTitle = SYSTEM[name];
    const title = field ? pick(field.title) : systemTitle ? t(systemTitle) : name;
    const isOwner = name === "owner" && value === layer.owner && pick(layer.agency) !== "";
    const text = isOwner ? pick(layer.agency) : formatValue(value, field ?? systemField(name));
    rows.push({ name, title: title || name, value: text });
  }
  return rows;
}

function systemField(name: string): Field | undefined {
  if (name !== "updated_at") return undefined;
  return { name, title: { vi: "", en: "" }, unit: null, type: "datetime", domain: null, from_zoom: null };
}
