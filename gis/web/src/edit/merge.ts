/** Three versions of a feature: what it was, what stands by now, and what I made of it. */
import { changedOnly, type Change, type Properties } from "./pending.ts";
import type { Shape } from "./geometry.ts";

/** An entry of `conflicts` in an answer of 409. */
export interface Conflict {
  layer: string;
  fid: number;
  op: "update" | "delete";
  base: Side | null;
  yours: { version: number; properties?: Properties; geometry?: Shape; deleted?: boolean };
  theirs: Partial<Side> & { deleted?: boolean; author?: string | null; agency?: string | null; at?: string | null };
  changed: { yours: string[]; theirs: string[] | null };
  both: string[];
  mergeable: boolean;
}

export interface Side {
  version: number;
  properties: Properties;
  geometry: Shape | null;
  at?: string | null;
}

export type Choice = "mine" | "theirs";

/** One line of the comparison. `name` is an attribute, or `geometry`. */
export interface Row {
  name: string;
  base: unknown;
  mine: unknown;
  theirs: unknown;
  /** Both changed it, differently: somebody has to choose. */
  clash: boolean;
  /** What holds without choosing; null where one has to. */
  choice: Choice | null;
}

const GEOMETRY = "geometry";

function content(side: Partial<Side> | null | undefined): Properties {
  return side ? { ...side.properties, ...(side.geometry === undefined ? {} : { [GEOMETRY]: side.geometry }) } : {};
}

/** What either side changed, in the order of mine, then of theirs. */
export function rows(conflict: Conflict): Row[] {
  const mine: Properties = { ...conflict.yours.properties, ...(conflict.yours.geometry ? { [GEOMETRY]: conflict.yours.geometry } : {}) };
  const base = content(conflict.base);
  const theirs = content(conflict.theirs);
  const names = [...new Set([...conflict.changed.yours, ...(conflict.changed.theirs ?? [])])];
  return names.map((name) => {
    const isMine = conflict.changed.yours.includes(name);
    const clash = conflict.both.includes(name);
    return {
      name,
      base: base[name],
      mine: name in mine ? mine[name] : base[name],
      theirs: theirs[name],
      clash,
      choice: clash ? null : isMine ? "mine" : "theirs",
    };
  });
}

/** What is needed to go on is chosen. */
export function decided(list: readonly Row[], choices: ReadonlyMap<string, Choice>): boolean {
  return list.every((row) => (choices.get(row.name) ?? row.choice) !== null);
}

/** My change, based on what stands by now; null where nothing of mine is left. */
export function merged(change: Change, conflict: Conflict, choices: ReadonlyMap<string, Choice>): Change | null {
  const { theirs } = conflict;
  const standing = { version: theirs.version ?? 0, properties: theirs.properties ?? {}, geometry: theirs.geometry ?? null };
  if (change.op === "delete") return { ...change, base: standing };
  const chosen = rows(conflict).filter((row) => (choices.get(row.name) ?? row.choice) === "mine");
  const properties = changedOnly(
    Object.fromEntries(chosen.filter(({ name }) => name !== GEOMETRY).map(({ name, mine }) => [name, mine])),
    standing.properties,
  );
  const shape = chosen.some(({ name }) => name === GEOMETRY) ? change.geometry : undefined;
  if (Object.keys(properties).length === 0 && !shape) return null;
  const { geometry: _, ...rest } = change;
  return { ...rest, op: "update", base: standing, properties, ...(shape ? { geometry: shape } : {}) };
}

/** Deleted by them, changed by me: made again as a new feature, as I had it. */
export function madeAgain(change: Change, name: string): Change | null {
  if (change.op !== "update") return null;
  const own = new Set(["fid", "version", "updated_at", "asset_id"]);
  const all = Object.entries({ ...change.base?.properties, ...change.properties }).filter(([key]) => !own.has(key));
  const geometry = change.geometry ?? change.base?.geometry;
  return {
    op: "create",
    layer: change.layer,
    id: name,
    base: null,
    properties: Object.fromEntries(all),
    ...(geometry ? { geometry } : {}),
  };
}
