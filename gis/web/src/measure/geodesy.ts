/**
 * Distances, directions and areas: on the plane of a projected system, as law and cadastre measure, and
 * on the ellipsoid of WGS 84 (Vincenty 1975; areas by the authalic projection of Snyder 1987, 3-12 and
 * 10-14, over edges that are cut short).
 */
import type { Position } from "../crs.ts";

const A = 6378137;
const F = 1 / 298.257223563;
const B = A * (1 - F);
const E2 = F * (2 - F);
const E = Math.sqrt(E2);
const RAD = Math.PI / 180;
/**
 * Edges are followed in steps of this many metres when an area is taken: what a straight step on the
 * projection leaves out grows with its cube, 0.6 m² for a kilometre in steps of 500 m, 0.006 m² so.
 */
const STEP = 50;

export interface Leg {
  /** Metres. */
  length: number;
  /** Degrees clockwise from north at the first place, 0 to 360. */
  azimuth: number;
}

const turn = (degrees: number): number => ((degrees % 360) + 360) % 360;

/** On the plane: from east, north to east, north in metres. The azimuth is from grid north. */
export function planeLeg(a: Position, b: Position): Leg {
  const [east, north] = [b[0] - a[0], b[1] - a[1]];
  return { length: Math.hypot(east, north), azimuth: turn(Math.atan2(east, north) / RAD) };
}

/** Square metres within the ring (not closed), whichever way it goes. */
export function planeArea(ring: readonly Position[]): number {
  const [x0, y0] = ring[0] ?? [0, 0];
  let twice = 0;
  ring.forEach((place, at) => {
    const next = ring[(at + 1) % ring.length] ?? place;
    // From the first corner, or the products of coordinates of a million metres would cancel.
    twice += (place[0] - x0) * (next[1] - y0) - (next[0] - x0) * (place[1] - y0);
  });
  return Math.abs(twice) / 2;
}

/** The shortest line on the ellipsoid between two places (longitude, latitude in degrees). */
export function geodesicLeg(from: Position, to: Position): Leg {
  const u1 = Math.atan((1 - F) * Math.tan(from[1] * RAD));
  const u2 = Math.atan((1 - F) * Math.tan(to[1] * RAD));
  const [sinU1, cosU1, sinU2, cosU2] = [Math.sin(u1), Math.cos(u1), Math.sin(u2), Math.cos(u2)];
  const difference = (to[0] - from[0]) * RAD;
  let lambda = difference;
  for (let round = 0; round < 100; round++) {
    const [sinL, cosL] = [Math.sin(lambda), Math.cos(lambda)];
    const sinSigma = Math.hypot(cosU2 * sinL, cosU1 * sinU2 - sinU1 * cosU2 * cosL);
    if (sinSigma === 0) return { length: 0, azimuth: 0 };
    const cosSigma = sinU1 * sinU2 + cosU1 * cosU2 * cosL;
    const sigma = Math.atan2(sinSigma, cosSigma);
    const sinAlpha = (cosU1 * cosU2 * sinL) / sinSigma;
    const cos2Alpha = 1 - sinAlpha ** 2;
    const cos2m = cos2Alpha === 0 ? 0 : cosSigma - (2 * sinU1 * sinU2) / cos2Alpha;
    const c = (F / 16) * cos2Alpha * (4 + F * (4 - 3 * cos2Alpha));
    const next =
      difference +
      (1 - c) * F * sinAlpha * (sigma + c * sinSigma * (cos2m + c * cosSigma * (2 * cos2m ** 2 - 1)));
    const settled = Math.abs(next - lambda) < 1e-13;
    lambda = next;
    if (!settled) continue;
    const square = (cos2Alpha * (A ** 2 - B ** 2)) / B ** 2;
    const bigA = 1 + (square / 16384) * (4096 + square * (-768 + square * (320 - 175 * square)));
    const bigB = (square / 1024) * (256 + square * (-128 + square * (74 - 47 * square)));
    const short =
      bigB *
      sinSigma *
      (cos2m +
        (bigB / 4) *
          (cosSigma * (2 * cos2m ** 2 - 1) -
            (bigB / 6) * cos2m * (4 * sinSigma ** 2 - 3) * (4 * cos2m ** 2 - 3)));
    const azimuth = Math.atan2(cosU2 * sinL, cosU1 * sinU2 - sinU1 * cosU2 * cosL) / RAD;
    return { length: B * bigA * (sigma - short), azimuth: turn(azimuth) };
  }
  return { length: NaN, azimuth: NaN };
}

/** Where one comes to from a place, so many metres in a direction (degrees from north). */
export function geodesicEnd(from: Position, { length, azimuth }: Leg): Position {
  const u1 = Math.atan((1 - F) * Math.tan(from[1] * RAD));
  const [sinU1, cosU1] = [Math.sin(u1), Math.cos(u1)];
  const [sinA, cosA] = [Math.sin(azimuth * RAD), Math.cos(azimuth * RAD)];
  const sigma1 = Math.atan2(Math.tan(u1), cosA);
  const sinAlpha = cosU1 * sinA;
  const cos2Alpha = 1 - sinAlpha ** 2;
  const square = (cos2Alpha * (A ** 2 - B ** 2)) / B ** 2;
  const bigA = 1 + (square / 16384) * (4096 + square * (-768 + square * (320 - 175 * square)));
  const bigB = (square / 1024) * (256 + square * (-128 + square * (74 - 47 * square)));
  let sigma = length / (B * bigA);
  for (let round = 0; round < 100; round++) {
    const cos2m = Math.cos(2 * sigma1 + sigma);
    const [sinS, cosS] = [Math.sin(sigma), Math.cos(sigma)];
    const short =
      bigB *
      sinS *
      (cos2m +
        (bigB / 4) *
          (cosS * (2 * cos2m ** 2 - 1) - (bigB / 6) * cos2m * (4 * sinS ** 2 - 3) * (4 * cos2m ** 2 - 3)));
    const next = length / (B * bigA) + short;
    const settled = Math.abs(next - sigma) < 1e-14;
    sigma = next;
    if (settled) break;
  }
  const [sinS, cosS] = [Math.sin(sigma), Math.cos(sigma)];
  const cos2m = Math.cos(2 * sigma1 + sigma);
  const latitude = Math.atan2(
    sinU1 * cosS + cosU1 * sinS * cosA,
    (1 - F) * Math.hypot(sinAlpha, sinU1 * sinS - cosU1 * cosS * cosA),
  );
  const lambda = Math.atan2(sinS * sinA, cosU1 * cosS - sinU1 * sinS * cosA);
  const c = (F / 16) * cos2Alpha * (4 + F * (4 - 3 * cos2Alpha));
  const difference =
    lambda - (1 - c) * F * sinAlpha * (sigma + c * sinS * (cos2m + c * cosS * (2 * cos2m ** 2 - 1)));
  return [from[0] + difference / RAD, latitude / RAD];
}

/** Longitude and latitude on the cylinder of equal areas: metres whose products are true square metres. */
function equalArea([lon, lat]: Position): Position {
  const sine = Math.sin(lat * RAD);
  const q = (1 - E2) * (sine / (1 - E2 * sine ** 2) - Math.log((1 - E * sine) / (1 + E * sine)) / (2 * E));
  return [A * lon * RAD, (A * q) / 2];
}

/** Square metres on the ellipsoid within the ring (not closed) of geodesic lines. */
export function geodesicArea(ring: readonly Position[]): number {
  const places: Position[] = [];
  ring.forEach((place, at) => {
    const next = ring[(at + 1) % ring.length] ?? place;
    const leg = geodesicLeg(place, next);
    const steps = Math.min(200, Math.max(1, Math.ceil(leg.length / STEP)));
    places.push(equalArea(place));
    for (let step = 1; step < steps; step++) {
      places.push(equalArea(geodesicEnd(place, { length: (leg.length * step) / steps, azimuth: leg.azimuth })));
    }
  });
  return planeArea(places);
}
