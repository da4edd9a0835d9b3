import assert from "node:assert/strict";
import { test } from "node:test";
import { BUFFER, CUTOFF, distanceField, flatten, RADIUS } from "../build/sdf.ts";

const square = (side: number, clockwise: boolean): ReturnType<typeof flatten> => {
  const corners: [number, number][] = clockwise
    ? [[0, 0], [0, side], [side, side], [side, 0]]
    : [[0, 0], [side, 0], [side, side], [0, side]];
  return flatten([
    ...corners.map(([x, y], i) => ({ type: i === 0 ? ("M" as const) : ("L" as const), x, y })),
    { type: "Z" as const },
  ]);
};

test("distances of a square, in either direction of drawing", () => {
  for (const clockwise of [true, false]) {
    const field = distanceField(square(10, clockwise));
    assert.ok(field);
    assert.deepEqual([field.width, field.height, field.left, field.top], [10, 10, 0, 10]);
    const stride = 10 + 2 * BUFFER;
    assert.equal(field.bitmap.length, stride * stride);
    const at = (column: number, row: number): number => field.bitmap[row * stride + column] ?? -1;
    const encoded = (distance: number): number => Math.round(255 * (1 - (distance / RADIUS + CUTOFF)));
    assert.equal(at(BUFFER, 8), encoded(-0.5)); // half a pixel inside the left edge
    assert.equal(at(BUFFER - 1, 8), encoded(0.5)); // and outside
    assert.equal(at(0, 0), encoded(Math.hypot(2.5, 2.5))); // corner of the buffer
  }
});

test("a space has no ink", () => {
  assert.equal(distanceField(flatten([])), null);
});
