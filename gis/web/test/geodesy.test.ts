import assert from "node:assert/strict";
import { test } from "node:test";
import type { Position } from "../src/crs.ts";
import { geodesicArea, geodesicEnd, geodesicLeg, planeArea, planeLeg } from "../src/measure/geodesy.ts";

// What GeographicLib (pyproj.Geod on WGS 84) says: from, to, metres, degrees.
const LEGS: [Position, Position, number, number][] = [
  [[106.7218, 10.778], [106.7318, 10.785], 1340.0178235215471, 54.701554689833515],
  [[106.7218, 10.778], [106.7218, 10.788], 1106.1315198998734, 0],
  [[106.35, 10.35], [107.02, 11.16], 115748.66280132771, 39.21833931694556],
  [[106.7218, 10.778], [106.72181, 10.77801], 1.5555299553129347, 44.6758382235792],
  [[105.85, 21.03], [106.7, 10.78], 1137901.668346809, 175.28893362381828],
];
const RINGS: [Position[], number][] = [
  [[[106.72, 10.77], [106.73, 10.77], [106.73, 10.78], [106.72, 10.78]], 1209771.0347664356],
  [[[106.7, 10.7], [106.71, 10.705], [106.704, 10.72]], 1089043.7797647119],
  [[[106.35, 10.35], [107.02, 10.4], [106.9, 11.16], [106.4, 11.0]], 5034997344.061009],
];

test("geodesic lengths and directions are those of GeographicLib to 0.1 mm", () => {
  for (const [from, to, length, azimuth] of LEGS) {
    const leg = geodesicLeg(from, to);
    assert.ok(Math.abs(leg.length - length) < 1e-4, `${leg.length} ${length}`);
    assert.ok(Math.abs(leg.azimuth - azimuth) * leg.length < 1e-2, `${leg.azimuth} ${azimuth}`);
    const end = geodesicEnd(from, leg);
    assert.ok(Math.hypot(end[0] - to[0], end[1] - to[1]) < 1e-10, String(end));
  }
  assert.deepEqual(geodesicLeg([106, 10], [106, 10]), { length: 0, azimuth: 0 });
});

test("geodesic areas are those of GeographicLib to a ten-millionth", () => {
  for (const [ring, area] of RINGS) {
    const found = geodesicArea(ring);
    assert.ok(Math.abs(found / area - 1) < 1e-7, `${found} ${area}`);
    assert.ok(Math.abs(geodesicArea(ring.toReversed()) / area - 1) < 1e-7);
  }
});

test("on the plane a right-angled triangle of 3, 4 and 5 metres is just that", () => {
  const ring: Position[] = [[603_000, 1_192_000], [603_003, 1_192_000], [603_003, 1_192_004]];
  assert.equal(planeArea(ring), 6);
  assert.equal(planeLeg([603_000, 1_192_000], [603_003, 1_192_004]).length, 5);
  assert.equal(planeLeg([0, 0], [0, 5]).azimuth, 0);
  assert.equal(planeLeg([0, 0], [5, 0]).azimuth, 90);
  assert.equal(planeLeg([0, 0], [-5, 0]).azimuth, 270);
  assert.equal(planeArea([]), 0);
});
