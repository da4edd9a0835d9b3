/** What GET /section and GET /profile answer, and where things lie in it. Pure. */
import { heightAt } from "./layout.ts";

export interface Cut {
  layer: string;
  fid: number;
  asset_id: string;
  title: string;
  station_m: number;
  /** From the ground to the top; null when it is not known. */
  depth_m: number | null;
  /** Of the middle. */
  elevation_m: number | null;
  width_m: number | null;
  height_m: number | null;
  quality: string | null;
  point: [number, number];
}

export interface Verdict {
  /** Places in the list of cuts. */
  a: number;
  b: number;
  rule: string;
  kind: "horizontal" | "vertical";
  measured_m: number;
  required_m: number;
  ok: boolean;
}

export interface Section {
  length_m: number;
  ground: [station: number, elevation: number | null][];
  cuts: Cut[];
  verdicts: Verdict[];
  /** false: there is more than is told. */
  complete?: boolean;
}

export interface Profile {
  length_m: number;
  nodes: {
    layer: string;
    fid: number;
    asset_id: string;
    station_m: number;
    ground_m: number | null;
    invert_m: number | null;
  }[];
  pipes: {
    layer: string;
    fid: number;
    from_m: number;
    to_m: number;
    invert_from_m: number | null;
    invert_to_m: number | null;
    diameter_mm: number | null;
    slope: number | null;
  }[];
  findings: { rule?: string; message?: { vi: string; en: string }; severity?: string; layer?: string; fid?: number }[];
}

/** Where a cut is drawn: its middle and size in metres; `middle` null: nobody knows how deep it lies. */
export interface Placed {
  cut: Cut;
  number: number;
  middle: number | null;
  width: number;
  height: number;
  uncertain: boolean;
}

/** Levels of PAS 128 at which nobody has seen or measured where it lies. */
const UNCERTAIN = new Set(["B3", "B4", "C", "D"]);

export type GroundLine = [station: number, height: number | null][];

/**
 * The ground: of the server's elevation model; else `derived` from works of which both level and depth are
 * known; else `level`, its height 0, and everything is drawn by its depth alone.
 */
export function groundOf(section: Section): { kind: "model" | "derived" | "level"; line: GroundLine } {
  if (section.ground.some(([, height]) => height !== null)) return { kind: "model", line: section.ground };
  const line = section.cuts
    .flatMap(({ station_m, depth_m, elevation_m, height_m }): [number, number][] =>
      depth_m === null || elevation_m === null ? [] : [[station_m, elevation_m + (height_m ?? 0) / 2 + depth_m]],
    )
    .toSorted(([a], [b]) => a - b);
  if (line.length > 0) return { kind: "derived", line };
  return { kind: "level", line: [[0, 0], [section.length_m, 0]] };
}

/** The works from left to right with their numbers, placed by their level, or by their depth under the ground. */
export function placed(section: Section, isSurface: (layer: string) => boolean = () => false): Placed[] {
  const { kind, line } = groundOf(section);
  return section.cuts
    .map((cut, index) => ({ cut, index }))
    .filter(({ cut }) => !isSurface(cut.layer))
    .toSorted((a, b) => a.cut.station_m - b.cut.station_m || a.index - b.index)
    .map(({ cut }, i) => {
      const height = cut.height_m ?? 0;
      const ground = heightAt(line, cut.station_m);
      const byDepth = cut.depth_m !== null && ground !== null ? ground - cut.depth_m - height / 2 : null;
      return {
        cut,
        number: i + 1,
        middle: kind === "level" ? byDepth : (cut.elevation_m ?? byDepth),
        width: cut.width_m ?? 0,
        height,
        uncertain: cut.quality === null || UNCERTAIN.has(cut.quality),
      };
    });
}

/** What lies on the ground (roads, buildings, parcels): stretches of the line. */
export function onGround(section: Section, isSurface: (layer: string) => boolean): { cut: Cut; from: number; to: number }[] {
  return section.cuts
    .filter(({ layer, width_m }) => isSurface(layer) && (width_m ?? 0) > 0)
    .map((cut) => {
      const half = (cut.width_m ?? 0) / 2;
      return { cut, from: Math.max(0, cut.station_m - half), to: Math.min(section.length_m, cut.station_m + half) };
    });
}
