/** What GET /search answers, and how it is grouped for a reader. */
import type { Position } from "../crs.ts";
import type { Symbol } from "../dom.ts";
import type { Box, Text } from "../types.ts";

export const KINDS = [
  "coordinates",
  "parcel",
  "address",
  "asset",
  "ward",
  "ward_old",
  "street",
  "place",
  "sheet",
  "other",
] as const;
export type Kind = (typeof KINDS)[number];

export interface Result {
  kind: Kind;
  title: string;
  subtitle: Text;
  layer: string | null;
  fid: number | null;
  point: Position | null;
  bbox: Box | null;
}

export const ICONS: Record<Kind, Symbol> = {
  coordinates: "target",
  parcel: "parcel",
  address: "pin",
  asset: "asset",
  ward: "flag",
  ward_old: "flag",
  street: "street",
  place: "pin",
  sheet: "grid",
  other: "search",
};

const number = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);
const numbers = (value: unknown, count: number): boolean =>
  Array.isArray(value) && value.length === count && value.every(number);

/** Only what can be shown and gone to; a kind that this page does not know yet is "other". */
export function readResults(answer: unknown): Result[] {
  const found = (answer as { results?: unknown } | null)?.results;
  if (!Array.isArray(found)) return [];
  return found.flatMap((one: unknown): Result[] => {
    if (!one || typeof one !== "object") return [];
    const row = one as Record<string, unknown>;
    const point = numbers(row["point"], 2) ? (row["point"] as Position) : null;
    const bbox = numbers(row["bbox"], 4) ? (row["bbox"] as Box) : null;
    if (typeof row["title"] !== "string" || (!point && !bbox)) return [];
    const subtitle = (row["subtitle"] ?? {}) as Partial<Text>;
    return [
      {
        kind: KINDS.find((kind) => kind === row["kind"]) ?? "other",
        title: row["title"],
        subtitle: { vi: String(subtitle.vi ?? ""), en: String(subtitle.en ?? "") },
        layer: typeof row["layer"] === "string" ? row["layer"] : null,
        fid: number(row["fid"]) ? row["fid"] : null,
        point,
        bbox,
      },
    ];
  });
}

export interface Group {
  kind: Kind;
  results: Result[];
}

/** By kind, the kind of the best result first; within a kind as the server ranked them. */
export function grouped(results: readonly Result[]): Group[] {
  const groups = new Map<Kind, Group>();
  for (const result of results) {
    const group = groups.get(result.kind) ?? { kind: result.kind, results: [] };
    group.results.push(result);
    groups.set(result.kind, group);
  }
  return [...groups.values()];
}

/** The place that the reader typed comes first, and the server's reading of the same place is left out. */
export function withPlace(place: Position | null, title: string, results: readonly Result[]): Result[] {
  if (!place) return [...results];
  const same = ({ kind, point }: Result): boolean =>
    kind === "coordinates" && point !== null && Math.hypot(point[0] - place[0], point[1] - place[1]) < 1e-5;
  const typed: Result = {
    kind: "coordinates",
    title,
    subtitle: { vi: "", en: "" },
    layer: null,
    fid: null,
    point: place,
    bbox: null,
  };
  return [typed, ...results.filter((one) => !same(one))];
}
