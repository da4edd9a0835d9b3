/** Colours by attribute: the classes of a field, their expression for the map and their entries of the legend. Pure. */
import type { Field, Layer, Text } from "../types.ts";
import { CATEGORIES, OTHER, ramp } from "./colours.ts";

export interface Colouring {
  field: string;
  /** Of a graduated field: the limits between its classes, ascending. */
  limits: number[];
  /** Of a categorical field without a domain: its values, the most frequent first. */
  values: string[];
}

export interface ColourClass {
  /** What a reader is told; a number is written by who shows it. */
  title: Text | null;
  value: string | null;
  /** Of a graduated field: from (null: no matter how little) up to (excluded; null: no matter how much). */
  range: [number | null, number | null] | null;
  colour: string;
}

const MOST_CLASSES = 6;
const MOST_VALUES = CATEGORIES.length;
const ID = /^[a-z][a-z0-9_]{0,47}$/;

export function isGraduated(field: Field): boolean {
  return !field.domain && (field.type === "integer" || field.type === "number");
}

/** Texts that are different in every feature make no classes. */
const OWN_TEXT = new Set(["asset_id", "fid", "version", "updated_at", "name", "code"]);

/** Fields by which a layer can be coloured: those with listed values, numbers, and the owner. */
export function colourable(layer: Layer): Field[] {
  return layer.fields.filter(
    (field) =>
      field.from_zoom !== null &&
      !OWN_TEXT.has(field.name) &&
      (field.domain !== null || field.type === "boolean" || isGraduated(field) || field.type === "string"),
  );
}

/** 1, 2, 2.5 or 5 times a power of ten, or the number itself when it is round enough: 148.7 -> 150. */
function rounded(value: number, spread: number): number {
  if (value === 0 || spread <= 0) return value;
  const step = 10 ** Math.floor(Math.log10(spread / MOST_CLASSES));
  const fine = [0.5, 1, 2.5, 5].map((n) => n * step);
  const unit = fine.findLast((one) => one <= spread / MOST_CLASSES) ?? step;
  return Number((Math.round(value / unit) * unit).toPrecision(10));
}

/**
 * Limits between classes that hold about as many features each, rounded, none twice. Few different values
 * (diameters) get a class each.
 */
export function limitsOf(numbers: readonly number[]): number[] {
  const sorted = numbers.filter(Number.isFinite).toSorted((a, b) => a - b);
  const different = [...new Set(sorted)];
  if (different.length <= 1) return [];
  if (different.length <= MOST_CLASSES) return different.slice(1);
  const first = sorted[0] ?? 0;
  const last = sorted.at(-1) ?? 0;
  const limits = Array.from({ length: MOST_CLASSES - 1 }, (_, i) => {
    const at = sorted[Math.floor(((i + 1) * sorted.length) / MOST_CLASSES)] ?? last;
    return rounded(at, last - first);
  });
  return [...new Set(limits)].filter((limit) => limit > first && limit <= last);
}

/** The most frequent values, at most as many as there are colours. */
export function valuesOf(values: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts]
    .toSorted(([a, n], [b, m]) => m - n || a.localeCompare(b, "vi"))
    .slice(0, MOST_VALUES)
    .map(([value]) => value);
}

/** The classes of a colouring, in the legend's order, without the one of all others. */
export function classesOf(colouring: Colouring, field: Field, onDark = false): ColourClass[] {
  if (isGraduated(field)) {
    const colours = ramp(colouring.limits.length + 1, onDark);
    return colours.map((colour, i) => ({
      title: null,
      value: null,
      range: [colouring.limits[i - 1] ?? null, colouring.limits[i] ?? null],
      colour,
    }));
  }
  const listed: { value: string; title: Text | null }[] = field.domain
    ? field.domain.map(({ value, title }) => ({ value: String(value), title }))
    : (field.type === "boolean" ? ["true", "false"] : colouring.values).map((value) => ({ value, title: null }));
  return listed.map(({ value, title }, i) => ({
    title,
    value,
    range: null,
    // Many values share colours at the end of the list; "unknown" and "other" never look like a class.
    colour: ["unknown", "other"].includes(value) ? OTHER : (CATEGORIES[i % MOST_VALUES] ?? OTHER),
  }));
}

/** The colour of each feature; `own` is what the layer has where tiles do not hold the field. */
export function colourExpression(
  colouring: Colouring,
  field: Field,
  layer: Layer,
  own: unknown,
  onDark = false,
): unknown {
  const classes = classesOf(colouring, field, onDark);
  const [first] = classes;
  if (!first) return own;
  const got = ["get", field.name];
  let colour: unknown;
  if (isGraduated(field)) {
    const steps = classes.slice(1).flatMap((one) => [one.range?.[0] ?? 0, one.colour]);
    const step = steps.length > 0 ? ["step", ["to-number", got], first.colour, ...steps] : first.colour;
    colour = ["case", ["has", field.name], step, OTHER];
  } else {
    colour = ["match", ["to-string", got], ...classes.flatMap((one) => [one.value ?? "", one.colour]), OTHER];
  }
  const zoom = field.from_zoom ?? 0;
  // A zoom must be outermost, and only there; a colour that goes by zoom itself is taken at its end.
  return zoom > layer.tiles.min_zoom ? ["step", ["zoom"], plain(own), zoom, colour] : colour;
}

function plain(own: unknown): unknown {
  return Array.isArray(own) && (own[0] === "interpolate" || own[0] === "step") ? own.at(-1) : own;
}

/** Whether a feature's value is of a class. */
export function isOf(one: ColourClass, value: unknown): boolean {
  if (one.range) {
    const number = Number(value);
    if (value === undefined || value === null || !Number.isFinite(number)) return false;
    return (one.range[0] === null || number >= one.range[0]) && (one.range[1] === null || number < one.range[1]);
  }
  return value !== undefined && value !== null && String(value) === one.value;
}

/** `water_pipe:material,drainage_conduit:diameter_mm:200|400`. */
export function writeColours(colours: ReadonlyMap<string, Colouring>): string | null {
  const parts = [...colours].map(([layer, { field, limits, values }]) => {
    const classes = limits.length > 0 ? limits.map(String) : values.map(encodeURIComponent);
    return [layer, field, ...(classes.length > 0 ? [classes.join("|")] : [])].join(":");
  });
  return parts.length > 0 ? parts.join(",") : null;
}

export function readColours(text: string | null): Map<string, Colouring> {
  const colours = new Map<string, Colouring>();
  for (const part of (text ?? "").split(",")) {
    const [layer = "", field = "", classes = ""] = part.split(":");
    if (!ID.test(layer) || !ID.test(field)) continue;
    const texts = classes === "" ? [] : classes.split("|").slice(0, MOST_VALUES);
    const limits = texts.map(Number);
    const ascending = limits.every((limit, i) => Number.isFinite(limit) && limit > (limits[i - 1] ?? -Infinity));
    colours.set(layer, { field, limits: ascending ? limits : [], values: texts.map(decoded) });
  }
  return colours;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a link that somebody cut short
  }
}
