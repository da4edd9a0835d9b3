/**
 * Places in a link: differences of 1e-7 degrees (1 cm), five bits a letter of 64 that need no escaping.
 * A measured line of fifty vertices takes some 350 letters.
 */
import type { Position } from "./crs.ts";

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const SCALE = 1e7;
/** More places than this are no line that a person drew. */
export const MOST_PLACES = 200;

function writeNumber(value: number): string {
  // The sign is the last bit, so that small steps in either direction are short. Beyond 31 bits: no shifts.
  let rest = value < 0 ? -2 * value - 1 : 2 * value;
  let text = "";
  do {
    const more = rest >= 32;
    text += LETTERS[(rest % 32) + (more ? 32 : 0)];
    rest = Math.floor(rest / 32);
    if (!more) return text;
  } while (true);
}

export function writePlaces(places: readonly Position[]): string {
  let [lon, lat] = [0, 0];
  let text = "";
  for (const place of places) {
    const [x, y] = [Math.round(place[0] * SCALE), Math.round(place[1] * SCALE)];
    text += writeNumber(x - lon) + writeNumber(y - lat);
    [lon, lat] = [x, y];
  }
  return text;
}

/** The places of a text; null when it was not written by writePlaces. */
export function readPlaces(text: string): Position[] | null {
  const numbers: number[] = [];
  let [value, factor] = [0, 1];
  for (const letter of text) {
    const code = LETTERS.indexOf(letter);
    if (code < 0 || factor > 2 ** 40) return null;
    value += (code % 32) * factor;
    if (code >= 32) {
      factor *= 32;
      continue;
    }
    numbers.push(value % 2 === 1 ? -(value + 1) / 2 : value / 2);
    [value, factor] = [0, 1];
  }
  if (factor !== 1 || numbers.length % 2 !== 0 || numbers.length > 2 * MOST_PLACES) return null;
  const places: Position[] = [];
  let [lon, lat] = [0, 0];
  for (let at = 0; at < numbers.length; at += 2) {
    lon += numbers[at] ?? 0;
    lat += numbers[at + 1] ?? 0;
    if (Math.abs(lon) > 180 * SCALE || Math.abs(lat) > 90 * SCALE) return null;
    places.push([lon / SCALE, lat / SCALE]);
  }
  return places;
}
