/**
 * Coordinates in the city's systems, computed in the browser.
 *
 * The definitions come from the catalogue and hold the pinned datum step (+towgs84, EPSG:6960 for
 * VN-2000), so nothing here chooses a transformation. proj4js was measured against PROJ with the same
 * pinned pipeline: equal to less than 0.001 mm in both directions; test/crs.test.ts holds it.
 */
import proj4 from "proj4";
import type { Crs } from "./types.ts";

/** East, north in metres, or longitude, latitude in degrees. */
export type Position = [x: number, y: number];

export interface Transform {
  readonly code: number;
  readonly name: string;
  /** Degrees and not metres. */
  readonly geographic: boolean;
  /** WGS 84 longitude, latitude -> this system. */
  forward(lonLat: Position): Position;
  /** This system -> WGS 84 longitude, latitude. */
  inverse(position: Position): Position;
}

const WGS84 = "+proj=longlat +ellps=WGS84 +datum=WGS84 +no_defs";

/** Raises when proj4 does not understand the definition. */
export function makeTransform(crs: Crs): Transform {
  const converter = proj4(WGS84, crs.proj4);
  return {
    code: crs.code,
    name: crs.name,
    geographic: /\+proj=(longlat|latlong)\b/.test(crs.proj4),
    forward: (lonLat) => converter.forward<Position>([lonLat[0], lonLat[1]]),
    inverse: (position) => converter.inverse<Position>([position[0], position[1]]),
  };
}

/** The systems that the page can show: those that proj4 reads, with the storage CRS first. */
export function makeTransforms(systems: readonly Crs[], storage: number): Transform[] {
  const transforms: Transform[] = [];
  for (const crs of systems) {
    // WGS 84 itself always stands beside the chosen system, and web metres mean nothing to a reader.
    if (!crs.proj4 || crs.code === 4326 || crs.code === 3857) continue;
    try {
      transforms.push(makeTransform(crs));
    } catch (error) {
      console.warn(`EPSG:${crs.code} is left out: its definition was not understood`, error);
    }
  }
  return transforms.sort((a, b) => Number(b.code === storage) - Number(a.code === storage));
}

/**
 * What a person typed as coordinates: two numbers, with a decimal point or, when no number holds a
 * point, a decimal comma ("10,7725 106,698"). Returns the numbers in the order typed, or null.
 */
export function parsePair(text: string): [number, number] | null {
  const cleaned = text.trim().replace(/[°NEnebđBĐ]/g, " ");
  const number = /[-+]?\d+(?:\.\d+)?/g;
  const decimalComma = !cleaned.includes(".") && (cleaned.match(/\d,\d/g)?.length ?? 0) >= 2;
  const found = (decimalComma ? cleaned.replace(/(\d),(\d)/g, "$1.$2") : cleaned).match(number);
  if (found?.length !== 2) return null;
  const [a, b] = [Number(found[0]), Number(found[1])];
  return Number.isFinite(a) && Number.isFinite(b) ? [a, b] : null;
}
