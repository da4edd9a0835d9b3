/**
 * What is to be saved: the list of pending changes, with undo and redo, and the changeset that it makes.
 *
 * A feature stands in the list once. The list is plain data: it is kept in the browser as it is.
 */
import { sameShape, type Shape } from "./geometry.ts";

export type Properties = Record<string, unknown>;

/** A feature as the server gave it, in the storage CRS. */
export interface Standing {
  version: number;
  properties: Properties;
  geometry: Shape | null;
}

export interface Change {
  op: "create" | "update" | "delete";
  layer: string;
  /** fid of what stands; `new:NAME` of what is made. */
  id: string;
  /** What the change is based on; null of what is made. */
  base: Standing | null;
  /** create: all attributes; update: those that change. */
  properties: Properties;
  /** Left out: as it was. */
  geometry?: Shape;
  /** Changes that one operation made together, and its name. */
  group?: string;
}

/** A changeset's member, as POST /changesets takes it. */
export type Sent =
  | { op: "create"; layer: string; id: string; feature: { type: "Feature"; geometry: Shape | null; properties: Properties } }
  | { op: "update"; layer: string; fid: number; version: number; properties?: Properties; geometry?: Shape }
  | { op: "delete"; layer: string; fid: number; version: number };

export const keyOf = ({ layer, id }: { layer: string; id: string }): string => `${layer}/${id}`;

const MOST_STEPS = 200;

/** What a change leaves of a feature: attributes and geometry as they would be. */
export function result(change: Change): { properties: Properties; geometry: Shape | null } {
  return {
    properties: { ...change.base?.properties, ...change.properties },
    geometry: change.geometry ?? change.base?.geometry ?? null,
  };
}

/** Attributes that are not as they were; empty texts are nothing. */
export function changedOnly(properties: Properties, base: Properties): Properties {
  const plain = (value: unknown): unknown => (value === undefined || value === "" ? null : value);
  return Object.fromEntries(
    Object.entries(properties)
      .map(([name, value]) => [name, plain(value)] as const)
      .filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(plain(base[name]))),
  );
}

export function sent(change: Change): Sent {
  const { op, layer, id } = change;
  if (op === "create") {
    const properties = Object.fromEntries(Object.entries(change.properties).filter(([, value]) => value !== null && value !== ""));
    return { op, layer, id, feature: { type: "Feature", geometry: change.geometry ?? null, properties } };
  }
  const known = { layer, fid: Number(id), version: change.base?.version ?? 0 };
  if (op === "delete") return { op, ...known };
  const hasProperties = Object.keys(change.properties).length > 0;
  return {
    op,
    ...known,
    ...(hasProperties || !change.geometry ? { properties: change.properties } : {}),
    ...(change.geometry ? { geometry: change.geometry } : {}),
  };
}

/** The change with another on top of it; null where nothing is left to do. */
function combined(before: Change | undefined, next: Change): Change | null {
  if (!before) return settled(next);
  if (before.op === "create") {
    if (next.op === "delete") return null;
    return { ...before, properties: { ...before.properties, ...next.properties }, ...(next.geometry ? { geometry: next.geometry } : {}) };
  }
  if (next.op === "delete") return { ...next, base: before.base, properties: {} };
  return settled({ ...before, ...next, op: "update", base: before.base, properties: { ...before.properties, ...next.properties } });
}

/** Without what does not change anything. */
function settled(change: Change): Change | null {
  if (change.op !== "update") return change;
  const { geometry, ...rest } = change;
  const properties = changedOnly(change.properties, change.base?.properties ?? {});
  const moved = geometry !== undefined && !sameShape(geometry, change.base?.geometry);
  if (Object.keys(properties).length === 0 && !moved) return null;
  return { ...rest, properties, ...(moved ? { geometry } : {}) };
}

export class Pending {
  #changes: readonly Change[];
  #past: (readonly Change[])[] = [];
  #future: (readonly Change[])[] = [];
  readonly #listeners = new Set<() => void>();

  constructor(changes: readonly Change[] = []) {
    this.#changes = changes;
  }

  get changes(): readonly Change[] {
    return this.#changes;
  }

  get(layer: string, id: string): Change | undefined {
    return this.#changes.find((one) => one.layer === layer && one.id === id);
  }

  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** Adds changes as one step, in place of what the same features had; `without` are taken away with them. */
  put(changes: readonly Change[], without: readonly string[] = []): void {
    let list = this.#changes.filter((one) => !without.includes(keyOf(one)));
    for (const next of changes) {
      const index = list.findIndex((one) => keyOf(one) === keyOf(next));
      const made = combined(list[index], next);
      if (index < 0) list = made ? [...list, made] : list;
      else list = made ? list.with(index, made) : list.toSpliced(index, 1);
    }
    this.#step(list);
  }

  /** Takes a change back, with those that were made together with it. */
  drop(key: string): void {
    const group = this.#changes.find((one) => keyOf(one) === key)?.group;
    this.#step(this.#changes.filter((one) => keyOf(one) !== key && (group === undefined || one.group !== group)));
  }

  /** In place of what the list holds: after a conflict was decided. */
  replace(key: string, change: Change | null): void {
    const made = change && settled(change);
    this.#step(this.#changes.flatMap((one) => (keyOf(one) !== key ? [one] : made ? [made] : [])));
  }

  clear(): void {
    this.#step([]);
  }

  /** They are saved (or given to the outbox): out of the list, and no undo brings them back. */
  take(): readonly Change[] {
    const taken = this.#changes;
    this.#past = [];
    this.#future = [];
    this.#changes = [];
    this.#tell();
    return taken;
  }

  /** They were not saved after all: before what was added meanwhile. */
  giveBack(changes: readonly Change[]): void {
    const keys = new Set(changes.map(keyOf));
    this.#past = [];
    this.#future = [];
    this.#changes = [...changes, ...this.#changes.filter((one) => !keys.has(keyOf(one)))];
    this.#tell();
  }

  get canUndo(): boolean {
    return this.#past.length > 0;
  }

  get canRedo(): boolean {
    return this.#future.length > 0;
  }

  undo(): void {
    const before = this.#past.pop();
    if (!before) return;
    this.#future.push(this.#changes);
    this.#changes = before;
    this.#tell();
  }

  redo(): void {
    const next = this.#future.pop();
    if (!next) return;
    this.#past.push(this.#changes);
    this.#changes = next;
    this.#tell();
  }

  #step(next: readonly Change[]): void {
    if (JSON.stringify(next) === JSON.stringify(this.#changes)) return;
    this.#past = [...this.#past, this.#changes].slice(-MOST_STEPS);
    this.#future = [];
    this.#changes = next;
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** A JSON pointer of an answer: the change that it is about, and what of it (an attribute, or `geometry`). */
export function pointed(pointer: string, changes: readonly Change[]): { change: Change; field: string } | null {
  const match = /^\/changes\/(\d+)(?:\/(.*))?$/.exec(pointer);
  const change = match ? changes[Number(match[1])] : undefined;
  if (!match || !change) return null;
  const parts = (match[2] ?? "").split("/").map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
  const rest = parts[0] === "feature" ? parts.slice(1) : parts;
  return { change, field: rest[0] === "properties" ? (rest[1] ?? "") : (rest[0] ?? "") };
}
