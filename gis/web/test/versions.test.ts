import assert from "node:assert/strict";
import { test } from "node:test";
import { changesOf } from "../src/ask/versions.ts";
import type { Layer } from "../src/types.ts";

const layer = { fields: [{ name: "state" }, { name: "remark" }] } as unknown as Layer;
const version = (properties: Record<string, unknown>, x = 0) => ({
  type: "Feature" as const,
  geometry: { type: "Point" as const, coordinates: [x, 0] },
  properties,
});

test("a change names what differs, in the catalogue's order, without bookkeeping", () => {
  const older = version({ version: 1, updated_at: "a", remark: "x", state: "open", gone: 1 });
  const newer = version({ version: 2, updated_at: "b", remark: null, state: "closed" }, 1);
  assert.deepEqual(
    changesOf(newer, older, layer).map(({ name, old, new: now }) => [name, old, now]),
    [
      ["state", "open", "closed"],
      ["remark", "x", null],
      ["gone", 1, null],
      ["geometry", null, null],
    ],
  );
  assert.deepEqual(changesOf(version({ remark: null }), version({}), layer), []);
});
