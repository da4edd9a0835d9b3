/** What is measured along a line or around an area, and how it is written. */
import type { Position, Transform } from "../crs.ts";
import { language } from "../i18n.ts";
import { geodesicArea, geodesicLeg, type Leg, planeArea, planeLeg } from "./geodesy.ts";

export interface Measured {
  /** The system of the plane; null when the city has no projected one. */
  readonly system: Transform | null;
  /** East, north of each place in the system. */
  readonly plane: readonly Position[];
  /** From each place to the next; for an area also from the last to the first. */
  readonly legs: readonly { plane: Leg | null; geodesic: Leg }[];
  /** Metres: the line, or around the area. */
  readonly length: { plane: number | null; geodesic: number };
  /** Square metres; null for a line. */
  readonly area: { plane: number | null; geodesic: number } | null;
}

/** The system to measure in: the reader's own if it is a projected one, or else the city's. */
export function measuringSystem(chosen: Transform | undefined, all: readonly Transform[]): Transform | null {
  if (chosen && !chosen.geographic) return chosen;
  return all.find((one) => !one.geographic) ?? null;
}

/** `places`: longitude, latitude. */
export function measure(places: readonly Position[], closed: boolean, system: Transform | null): Measured {
  const plane = system ? places.map((place) => system.forward(place)) : [];
  const around = closed && places.length > 2 ? places.length : places.length - 1;
  const legs = Array.from({ length: Math.max(0, around) }, (_, at) => {
    const next = (at + 1) % places.length;
    const [a, b] = [places[at] as Position, places[next] as Position];
    return {
      plane: system ? planeLeg(plane[at] as Position, plane[next] as Position) : null,
      geodesic: geodesicLeg(a, b),
    };
  });
  const sum = (lengths: readonly number[]): number => lengths.reduce((total, one) => total + one, 0);
  return {
    system,
    plane,
    legs,
    length: {
      plane: system ? sum(legs.map((leg) => leg.plane?.length ?? 0)) : null,
      geodesic: sum(legs.map((leg) => leg.geodesic.length)),
    },
    area:
      closed && places.length > 2
        ? { plane: system ? planeArea(plane) : null, geodesic: geodesicArea(places) }
        : null,
  };
}

/** Metres with the centimetre; from ten kilometres on in kilometres with the metre. */
export function formatLength(metres: number): string {
  return metres >= 10_000 ? `${fixed(metres / 1000, 3)} km` : `${fixed(metres, 2)} m`;
}

/** Square metres with a tenth, as certificates of land have them; from ten hectares on with hectares, too. */
export function formatArea(square: number): string {
  const metres = `${fixed(square, 1)} m²`;
  return square >= 100_000 ? `${metres} (${fixed(square / 10_000, 2)} ha)` : metres;
}

/** With just so many decimals, zeros too: what was measured says how exactly. */
export function fixed(value: number, digits: number): string {
  const locale = language() === "vi" ? "vi-VN" : "en-GB";
  return new Intl.NumberFormat(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
}

/** Degrees, minutes and whole seconds: 54°42'06". */
export function formatAzimuth(degrees: number): string {
  const seconds = Math.round(degrees * 3600) % (360 * 3600);
  const two = (value: number): string => String(value).padStart(2, "0");
  return `${Math.floor(seconds / 3600)}°${two(Math.floor(seconds / 60) % 60)}'${two(seconds % 60)}"`;
}

/** A table to paste into a spreadsheet: decimal points, tabs. */
export function asTable(places: readonly Position[], found: Measured, heads: readonly string[]): string {
  const rows = places.map((place, at) => {
    const [east, north] = found.plane[at] ?? [];
    const leg = found.legs[at];
    return [
      at + 1,
      north?.toFixed(3) ?? "",
      east?.toFixed(3) ?? "",
      place[1].toFixed(8),
      place[0].toFixed(8),
      leg ? (leg.plane ?? leg.geodesic).length.toFixed(3) : "",
      leg ? formatAzimuth((leg.plane ?? leg.geodesic).azimuth) : "",
    ].join("\t");
  });
  return [heads.join("\t"), ...rows].join("\n");
}
