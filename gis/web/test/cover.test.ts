import assert from "node:assert/strict";
import { test } from "node:test";
import { cover } from "../src/cover.ts";

const map = { left: 300, top: 0, right: 1200, bottom: 700 };
const nothing = { top: 0, bottom: 0, left: 0, right: 0 };

test("a panel at the right covers what is right of its left edge", () => {
  const dock = { edges: { left: 760, top: 60, right: 1140, bottom: 300 } };
  assert.deepEqual(cover(map, []), nothing);
  assert.deepEqual(cover(map, [dock]), { ...nothing, right: 440 });
  const bar = { left: 310, top: 12, right: 900, bottom: 50 };
  assert.deepEqual(cover(map, [dock], [bar]), { ...nothing, right: 440 });
});

test("a panel from below covers as much as it may grow to, and the bars count", () => {
  const edges = { left: 300, top: 650, right: 1200, bottom: 700 };
  const bar = { left: 310, top: 12, right: 900, bottom: 50 };
  assert.deepEqual(cover(map, [{ edges }], [bar]), { ...nothing, bottom: 50, top: 50 });
  assert.deepEqual(cover(map, [{ edges, most: 400 }], [bar]), { ...nothing, bottom: 400, top: 50 });
});

test("something is left of a small map", () => {
  const small = { left: 0, top: 0, right: 200, bottom: 150 };
  const sheet = { edges: { left: 0, top: 20, right: 200, bottom: 150 } };
  const bar = { left: 0, top: 0, right: 200, bottom: 60 };
  assert.deepEqual(cover(small, [sheet], [bar]), { ...nothing, bottom: 70, top: 0 });
});
