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
  more?: boolean;
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

/** Whether the section is drawn in heights above the sea; otherwise the ground is level, and its height 0. */
export function hasHeights({ ground }: Section): boolean {
  return ground.some(([, height]) => height !== null);
}

/** The cuts from left to right with their numbers, placed by their height, or by their depth under the ground. */
export function placed(section: Section): Placed[] {
  const heights = hasHeights(section);
  return section.cuts
    .map((cut, index) => ({ cut, index }))
    .toSorted((a, b) => a.cut.station_m - b.cut.station_m || a.index - b.index)
    .map(({ cut }, i) => {
      const height = cut.height_m ?? 0;
      const ground = heights ? heightAt(section.ground, cut.station_m) : 0;
      const byDepth = cut.depth_m !== null && ground !== null ? ground - cut.depth_m - height / 2 : null;
      return {
        cut,
        number: i + 1,
        middle: heights ? (cut.elevation_m ?? byDepth) : byDepth,
        width: cut.width_m ?? 0,
        height,
        uncertain: cut.quality === null || UNCERTAIN.has(cut.quality),
      };
    });
}
