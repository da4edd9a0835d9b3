import assert from "node:assert/strict";
import { test } from "node:test";
import { filterCql } from "../src/print/cql.ts";
import { frameRing } from "../src/print/frame.ts";
import { embedAddress, frameCode, imageAddress } from "../src/share/addresses.ts";
import type { Condition } from "../src/see/filters.ts";
import type { Transform } from "../src/crs.ts";
import type { Layer } from "../src/types.ts";

const LAYER = {
  id: "water_pipe",
  fields: (["string", "integer", "boolean", "date", "datetime"] as const).map((type) => ({ name: `a_${type}`, type })),
} as unknown as Layer;

const cql = (conditions: Condition[], all = true): string | null | undefined => filterCql({ all, conditions }, LAYER);

test("filters become CQL2, whatever their values hold", () => {
  assert.equal(cql([{ field: "a_string", operator: "is", value: "O'Hara" }]), "a_string = 'O''Hara'");
  assert.equal(
    cql([{ field: "a_string", operator: "has", value: "50%_\\'" }]),
    "CASEI(a_string) LIKE CASEI('%50\\%\\_\\\\''%')",
  );
  assert.equal(cql([{ field: "a_integer", operator: "ge", value: "1,5" }]), "a_integer >= 1.5");
  assert.equal(cql([{ field: "a_integer", operator: "ge", value: "1 OR 1=1" }]), undefined);
  assert.equal(cql([{ field: "a_boolean", operator: "is", value: "true" }]), "a_boolean = TRUE");
  assert.equal(cql([{ field: "a_date", operator: "lt", value: "2001-02-03" }]), "a_date < DATE('2001-02-03')");
  assert.equal(cql([{ field: "a_date", operator: "lt", value: "2001') OR ('1'='1" }]), undefined);
  assert.equal(cql([{ field: "a_string", operator: "empty", value: "" }]), "a_string IS NULL");
  assert.equal(cql([{ field: "a_string", operator: "is", value: "" }]), null);
  const two: Condition[] = [
    { field: "a_string", operator: "filled", value: "" },
    { field: "a_integer", operator: "not", value: "3" },
    { field: "unknown", operator: "is", value: "x" },
  ];
  assert.equal(cql(two), "(a_string IS NOT NULL) AND (a_integer <> 3)");
  assert.equal(cql(two, false), "(a_string IS NOT NULL) OR (a_integer <> 3)");
});

test("the frame is a closed box around its middle", () => {
  const plain = { forward: (p) => p, inverse: (p) => p } as Transform;
  const ring = frameRing(plain, [10, 20], 4, 2);
  assert.deepEqual(ring[0], ring.at(-1));
  assert.deepEqual(
    [Math.min(...ring.map(([x]) => x)), Math.max(...ring.map(([x]) => x))],
    [8, 12],
  );
  assert.deepEqual(
    [Math.min(...ring.map(([, y]) => y)), Math.max(...ring.map(([, y]) => y))],
    [19, 21],
  );
});

test("what others are given is an address, and nothing that a link could hide in it", () => {
  const address = embedAddress("https://map.example.vn/map#map=17/10/106&tool=edit&lang=vi");
  assert.equal(address, "https://map.example.vn/map/embed#map=17/10/106&lang=vi");
  const code = frameCode(embedAddress('https://map.example.vn/map#x="><script>alert(1)</script>'), '"><b>');
  assert.ok(!/<script|"><b>/.test(code), code);
  assert.equal(
    imageAddress("https://m.vn", [106, 10, 106.5, 10.5], { width: 5000, height: 3 }, ["a", "b"], {}, "vi"),
    "https://m.vn/image?bbox=106.000000,10.000000,106.500000,10.500000&width=2000&height=16&layers=a,b&lang=vi",
  );
  const some = imageAddress("https://m.vn", [0, 0, 1, 1], { width: 20, height: 20 }, ["a"], { a: "b = 'c&d,e'" }, "vi");
  assert.deepEqual(JSON.parse(new URL(some).searchParams.get("filter") ?? ""), { a: "b = 'c&d,e'" });
});
