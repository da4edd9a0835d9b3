import assert from "node:assert/strict";
import { test } from "node:test";
import { groundOf, onGround, placed, type Section } from "../src/section/answer.ts";
import { exaggeration, heightAt, rowsFor, spread, ticks } from "../src/section/layout.ts";

test("ticks are round and inside", () => {
  assert.deepEqual(ticks(0, 23.4, 5), [0, 5, 10, 15, 20]);
  assert.deepEqual(ticks(-1.83, 1.2, 7), [-1.5, -1, -0.5, 0, 0.5, 1]);
  assert.deepEqual(ticks(2, 2, 5), [2]);
});

test("the vertical scale is the largest that fits", () => {
  assert.equal(exaggeration(3, 30, 300), 2);
  assert.equal(exaggeration(3, 3, 300), 20);
  assert.equal(exaggeration(100, 30, 300), 1);
});

test("labels never lie on each other and stay in the line", () => {
  for (const wanted of [[10, 12, 14], [0, 0, 0, 0], [100, 100, 100], [5, 50, 52, 95, 99], [50]]) {
    const at = spread(wanted, 10, 0, 100);
    assert.ok(at.every((x, i) => i === 0 || x - (at[i - 1] ?? 0) >= 10 - 1e-9), String(at));
    assert.ok((at[0] ?? 0) >= -1e-9 && (at.at(-1) ?? 0) <= 100 + 1e-9, String(at));
  }
  assert.deepEqual(spread([20, 60], 10, 0, 100), [20, 60]);
  assert.deepEqual(spread([48, 52], 10, 0, 100), [45, 55]);
  assert.equal(spread(Array.from({ length: 50 }, () => 5), 10, 0, 100).at(-1), 100);
  assert.equal(rowsFor(50, 20, 500), 2);
});

test("heights go straight between what is known", () => {
  const ground = [[0, 2], [5, null], [10, 4]] as const;
  assert.deepEqual([-1, 0, 5, 10, 20].map((at) => heightAt(ground, at)), [2, 2, 3, 4, 4]);
  assert.equal(heightAt([[0, null]], 3), null);
});

const CUT = { layer: "l", fid: 1, asset_id: "a", title: "t", width_m: 0.4, height_m: 0.4, quality: "B1", point: [0, 0] as [number, number] };

test("cuts are numbered from left to right; a depth counts from the ground to the top", () => {
  const section: Section = {
    length_m: 20,
    ground: [[0, 2], [20, 2]],
    cuts: [
      { ...CUT, station_m: 12, depth_m: 1, elevation_m: null },
      { ...CUT, station_m: 3, depth_m: null, elevation_m: 0.5, quality: null },
      { ...CUT, station_m: 15, depth_m: null, elevation_m: null, quality: "D" },
    ],
    verdicts: [],
  };
  assert.deepEqual(placed(section).map(({ number, middle, uncertain }) => [number, middle, uncertain]), [[1, 0.5, true], [2, 0.8, false], [3, null, true]]);
  const level = { ...section, ground: [[0, null], [20, null]] as Section["ground"] };
  assert.equal(groundOf(level).kind, "level");
  assert.deepEqual(placed(level).map(({ middle }) => middle), [null, -1.2, null]);
  // a work whose level and depth are both known tells where the ground is
  const both = { ...level, cuts: [...level.cuts, { ...CUT, station_m: 18, depth_m: 1, elevation_m: 0.8 }] };
  assert.deepEqual(groundOf(both), { kind: "derived", line: [[18, 2]] });
  assert.deepEqual(placed(both).map(({ middle }) => middle), [0.5, 0.8, null, 0.8]);
});

test("what lies on the ground has no number, and ends with the line", () => {
  const cuts = [{ ...CUT, layer: "road", station_m: 2, depth_m: null, elevation_m: null, width_m: 10 }, { ...CUT, station_m: 5, depth_m: 1, elevation_m: null }];
  const section: Section = { length_m: 20, ground: [[0, null]], cuts, verdicts: [] };
  const isRoad = (layer: string): boolean => layer === "road";
  assert.deepEqual(placed(section, isRoad).map(({ number, cut }) => [number, cut.layer]), [[1, "l"]]);
  assert.deepEqual(onGround(section, isRoad).map(({ from, to }) => [from, to]), [[0, 7]]);
});
