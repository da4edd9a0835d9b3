/** What differs between two versions of a feature. */
import type { Feature } from "geojson";
import type { Field, Layer } from "../types.ts";

export interface Change {
  name: string;
  field: Field | null;
  old: unknown;
  new: unknown;
}

/** Bookkeeping that differs between any two versions. */
const OWN = new Set(["fid", "version", "updated_at"]);

/** Attributes in the order of the catalogue, the geometry last. */
export function changesOf(newer: Feature, older: Feature, layer: Layer): Change[] {
  const [now, before] = [newer.properties ?? {}, older.properties ?? {}];
  const known = layer.fields.map(({ name }) => name);
  const names = new Set([...known, ...Object.keys(now), ...Object.keys(before)]);
  const changes: Change[] = [];
  for (const name of names) {
    if (OWN.has(name)) continue;
    const [value, former] = [now[name] as unknown, before[name] as unknown];
    if (JSON.stringify(value ?? null) === JSON.stringify(former ?? null)) continue;
    const field = layer.fields.find((one) => one.name === name) ?? null;
    changes.push({ name, field, old: former ?? null, new: value ?? null });
  }
  if (JSON.stringify(newer.geometry) !== JSON.stringify(older.geometry)) {
    changes.push({ name: "geometry", field: null, old: null, new: null });
  }
  return changes;
}
