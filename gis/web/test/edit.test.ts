import assert from "node:assert/strict";
import { test } from "node:test";
import { Contacts } from "../src/edit/contacts.ts";
import { type Content, Draft, draftsOf, parsed, type Store } from "../src/edit/draft.ts";
import {
  areaOf,
  drawn,
  insertVertex,
  isEnd,
  lengthOf,
  moveVertex,
  removeVertex,
  segments,
  setHeight,
  type Shape,
  vertices,
} from "../src/edit/geometry.ts";
import { type Conflict, decided, madeAgain, merged, rows } from "../src/edit/merge.ts";
import { type Change, keyOf, Pending, pointed, sent } from "../src/edit/pending.ts";
import { nearestSegment, snap, target } from "../src/edit/snap.ts";
import { checked, withoutFilled } from "../src/edit/values.ts";
import { touches } from "../src/live.ts";

const LINE: Shape = { type: "LineString", coordinates: [[0, 0, 1], [10, 0, 2], [10, 10, 4]] };
const SQUARE: Shape = { type: "Polygon", coordinates: [[[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]], [[4, 4], [6, 4], [6, 6], [4, 6], [4, 4]]] };

test("vertices move alone, keep their heights, and rings stay closed", () => {
  const moved = moveVertex(LINE, [1], [11.5, 0.25]);
  assert.deepEqual(moved, { type: "LineString", coordinates: [[0, 0, 1], [11.5, 0.25, 2], [10, 10, 4]] });
  assert.equal((moved as typeof LINE).coordinates[0], LINE.coordinates[0]); // the same object: digit for digit
  const ring = (moveVertex(SQUARE, [0, 0], [-1, -1]) as typeof SQUARE & { type: "Polygon" }).coordinates[0];
  assert.deepEqual([ring?.[0], ring?.at(-1)], [[-1, -1], [-1, -1]]);
  assert.deepEqual(moveVertex({ type: "Point", coordinates: [1, 2, 3] }, [], [4, 5]).coordinates, [4, 5, 3]);
  const parts: Shape = { type: "MultiPolygon", coordinates: [(SQUARE as { coordinates: number[][][] }).coordinates] };
  assert.equal(vertices(parts).length, 8);
  assert.deepEqual((moveVertex(parts, [0, 1, 2], [7, 7]) as typeof parts).coordinates[0]?.[1]?.[2], [7, 7]);
  assert.deepEqual((moveVertex(parts, [0, 1, 2], [7, 7]) as typeof parts).coordinates[0]?.[0], SQUARE.coordinates[0]);
});

test("a vertex that is added has the height of the line, and too few are never left", () => {
  assert.deepEqual(insertVertex(LINE, [2], [10, 5]).coordinates, [[0, 0, 1], [10, 0, 2], [10, 5, 3], [10, 10, 4]]);
  assert.deepEqual(removeVertex(LINE, [1])?.coordinates, [[0, 0, 1], [10, 10, 4]]);
  assert.equal(removeVertex({ type: "LineString", coordinates: [[0, 0], [1, 1]] }, [0]), null);
  const triangle = removeVertex(SQUARE, [0, 0]) as { coordinates: number[][][] };
  assert.deepEqual(triangle.coordinates[0], [[10, 0], [10, 10], [0, 10], [10, 0]]);
  assert.equal(removeVertex(triangle as Shape, [0, 1]), null);
  assert.deepEqual(setHeight(LINE, [1], 9).coordinates, [[0, 0, 1], [10, 0, 9], [10, 10, 4]]);
  assert.deepEqual(setHeight({ type: "LineString", coordinates: [[0, 0], [1, 1]] }, [1], 9).coordinates, [[0, 0, 9], [1, 1, 9]]);
});

test("measures and what is drawn", () => {
  assert.equal(lengthOf(LINE), 20);
  assert.equal(areaOf(SQUARE), 96);
  assert.equal(segments(SQUARE).length, 8);
  assert.deepEqual([isEnd(LINE, [0]), isEnd(LINE, [1]), isEnd(LINE, [2])], [true, false, true]);
  assert.equal(drawn("Polygon", [[0, 0], [1, 0]]), null);
  assert.deepEqual(drawn("MultiPolygon", [[0, 0], [1, 0], [0, 1]])?.coordinates, [[[[0, 0], [1, 0], [0, 1], [0, 0]]]]);
  // Heights everywhere or nowhere.
  assert.deepEqual(drawn("LineString", [[0, 0, 5], [1, 0]])?.coordinates, [[0, 0], [1, 0]]);
});

test("snapping: a node before a vertex before a line, exactly, and not to oneself", () => {
  const targets = [
    target("pipe", "1", LINE),
    target("valve", "2", { type: "Point", coordinates: [5.0001, 0.4] }),
  ];
  assert.deepEqual(snap([5, 0.1], targets, 1)?.at, [5.0001, 0.4]);
  assert.deepEqual(snap([3, 0.2], targets, 1), { kind: "line", layer: "pipe", id: "1", at: [3, 0, 1.3], distance: 0.2, path: [1] });
  assert.equal(snap([9.8, 0.3], targets, 1)?.kind, "vertex");
  assert.equal(snap([0.2, 0], targets, 1)?.kind, "node"); // an end, where others connect
  assert.equal(snap([3, 3], targets, 1), null);
  assert.equal(snap([5, 0.1], targets, 1, { layer: "valve", id: "2" })?.kind, "line");
  // A vertex that is being moved holds on neither to itself nor to its own segments.
  assert.equal(snap([9.8, 0.3], targets, 1, { layer: "pipe", id: "1", path: [1] }), null);
  assert.deepEqual(nearestSegment([5, 1], LINE)?.path, [1]);
});

const STANDING = { version: 3, properties: { code: "A", state: "open", remark: null }, geometry: LINE };
const update = (properties: Change["properties"], geometry?: Shape): Change => ({
  op: "update",
  layer: "valve",
  id: "7",
  base: STANDING,
  properties,
  ...(geometry ? { geometry } : {}),
});

test("pending changes come together, one for each feature, and go back step by step", () => {
  const pending = new Pending();
  pending.put([update({ code: "B" })]);
  pending.put([update({ state: "closed" }, moveVertex(LINE, [0], [1, 1]))]);
  assert.equal(pending.changes.length, 1);
  assert.deepEqual(pending.changes[0]?.properties, { code: "B", state: "closed" });
  pending.put([update({ code: "A", remark: "" }, LINE)]); // as it was: nothing of that is sent
  assert.deepEqual(sent(pending.changes[0] as Change), { op: "update", layer: "valve", fid: 7, version: 3, properties: { state: "closed" } });
  pending.put([update({ state: "open" })]);
  assert.equal(pending.changes.length, 0);
  pending.undo();
  pending.undo();
  assert.equal(pending.changes[0]?.geometry?.type, "LineString");
  pending.redo();
  assert.equal(pending.changes[0]?.geometry, undefined);
  pending.put([{ ...update({}), op: "delete" }]);
  assert.equal(pending.canRedo, false);
  assert.deepEqual(sent(pending.changes[0] as Change), { op: "delete", layer: "valve", fid: 7, version: 3 });
  pending.undo();
  assert.equal(pending.changes[0]?.op, "update");
});

test("what is new changes in place, and is nothing when it is deleted", () => {
  const pending = new Pending();
  const made: Change = { op: "create", layer: "valve", id: "new:1", base: null, properties: { code: "" }, geometry: LINE };
  pending.put([made]);
  pending.put([{ ...update({ kind: "gate" }), id: "new:1", base: null }]);
  assert.deepEqual(sent(pending.changes[0] as Change), {
    op: "create",
    layer: "valve",
    id: "new:1",
    feature: { type: "Feature", geometry: LINE, properties: { kind: "gate" } },
  });
  pending.put([{ ...update({}), op: "delete", id: "new:1", base: null }]);
  assert.equal(pending.changes.length, 0);
  // An operation's changes go together.
  pending.put([{ ...made, group: "g" }, { ...update({ code: "C" }), group: "g" }]);
  pending.drop("valve/7");
  assert.equal(pending.changes.length, 0);
});

test("what was taken to be sent comes back before what was added meanwhile", () => {
  const pending = new Pending([update({ code: "B" })]);
  const taken = pending.take();
  assert.equal(pending.canUndo, false);
  pending.put([{ ...update({ code: "Z" }), id: "8" }]);
  pending.giveBack(taken);
  assert.deepEqual(pending.changes.map(keyOf), ["valve/7", "valve/8"]);
});

test("the server's pointers lead to the change and the attribute", () => {
  const changes = [update({}), { ...update({}), id: "8" }];
  assert.deepEqual(pointed("/changes/1/properties/a~1b", changes), { change: changes[1], field: "a/b" });
  assert.equal(pointed("/changes/0/feature/geometry/coordinates/0", changes)?.field, "geometry");
  assert.equal(pointed("/changes/5/properties/x", changes), null);
  assert.equal(pointed("/comment", changes), null);
});

const CONFLICT: Conflict = {
  layer: "valve",
  fid: 7,
  op: "update",
  base: { version: 3, properties: { code: "A", state: "open", turns: 1 }, geometry: LINE },
  yours: { version: 3, properties: { code: "M", state: "closed" } },
  theirs: { version: 5, properties: { code: "T", state: "open", turns: 9 }, geometry: LINE, author: "lan" },
  changed: { yours: ["code", "state"], theirs: ["code", "turns"] },
  both: ["code"],
  mergeable: false,
};

test("three versions: only what both changed is asked, and mine is based on what stands", () => {
  const mine = update({ code: "M", state: "closed" });
  const list = rows(CONFLICT);
  assert.deepEqual(
    list.map(({ name, base, mine, theirs, clash, choice }) => [name, base, mine, theirs, clash, choice]),
    [
      ["code", "A", "M", "T", true, null],
      ["state", "open", "closed", "open", false, "mine"],
      ["turns", 1, 1, 9, false, "theirs"],
    ],
  );
  assert.equal(decided(list, new Map()), false);
  assert.equal(decided(list, new Map([["code", "mine"]])), true);
  const both = merged(mine, CONFLICT, new Map([["code", "mine"]]));
  assert.deepEqual(sent(both as Change), { op: "update", layer: "valve", fid: 7, version: 5, properties: { code: "M", state: "closed" } });
  assert.deepEqual(merged(mine, CONFLICT, new Map([["code", "theirs"]]))?.properties, { state: "closed" });
  assert.equal(merged(mine, CONFLICT, new Map([["code", "theirs"], ["state", "theirs"]])), null);
  assert.equal(merged({ ...mine, op: "delete" }, CONFLICT, new Map())?.base?.version, 5);
});

test("what they deleted is made again as a new feature", () => {
  const again = madeAgain(update({ code: "M" }), "new:x");
  assert.deepEqual([again?.op, again?.id, again?.properties["code"], again?.geometry], ["create", "new:x", "M", LINE]);
  assert.equal("asset_id" in (again?.properties ?? {}), false);
});

class Memory implements Store {
  readonly texts = new Map<string, string>();
  full = false;
  get length(): number {
    return this.texts.size;
  }
  key(index: number): string | null {
    return [...this.texts.keys()][index] ?? null;
  }
  getItem(key: string): string | null {
    return this.texts.get(key) ?? null;
  }
  setItem(key: string, value: string): void {
    if (this.full) throw new Error("no room");
    this.texts.set(key, value);
  }
  removeItem(key: string): void {
    this.texts.delete(key);
  }
}

test("a draft is kept until it is empty, and says when it cannot be", () => {
  const store = new Memory();
  let failures = 0;
  const draft = new Draft(store, "bandoso.edit/lan/1", () => failures++);
  const changes = [update({ code: "B" })];
  draft.set({ changes, comment: "why" });
  const outbox = { key: "k", body: "{}", changes };
  draft.set({ changes: [], outbox });
  assert.deepEqual(draftsOf(store, "lan"), ["bandoso.edit/lan/1"]);
  assert.deepEqual(draftsOf(store, "la"), []);
  const again: Content = new Draft(store, "bandoso.edit/lan/1", () => failures++).content;
  assert.deepEqual(again, { changes: [], comment: "why", source: "", outbox });
  draft.set({ outbox: null });
  assert.equal(store.length, 0);
  store.full = true;
  draft.set({ changes });
  new Draft(null, "x", () => failures++).set({ changes });
  assert.equal(failures, 2);
  assert.deepEqual(draft.content.changes, changes); // in memory all the same
  for (const text of [null, "", "[]", "{", '{"changes":1}', '{"changes":[],"outbox":{"key":1}}']) assert.equal(parsed(text), null);
});

test("what is typed becomes a value of the schema, or a mistake", () => {
  const number = { type: "number", minimum: 0, maximum: 5000 } as const;
  assert.equal(checked("12,5", number, false).value, 12.5);
  assert.equal(checked(" ", number, false).value, null);
  assert.equal(checked("", number, true).problem?.key, "isRequired");
  assert.equal(checked("12 mm", number, false).problem?.key, "noNumber");
  assert.equal(checked("0x10", number, false).problem?.key, "noNumber");
  assert.equal(checked("5001", number, false).problem?.key, "tooLarge");
  assert.equal(checked("1.5", { type: "integer" }, false).problem?.key, "noInteger");
  assert.equal(checked("2", { type: "integer", enum: [1, 2] }, false).value, 2);
  assert.equal(checked("false", { type: "boolean" }, true).value, false);
  assert.equal(checked("ếếế", { type: "string", maxLength: 2 }, false).problem?.key, "tooLong");
  const schema = { properties: {}, required: ["asset_id", "owner", "parcel_no", "geometry"] };
  assert.deepEqual(withoutFilled(schema).required, ["parcel_no", "geometry"]);
});

test("only changes in view are looked at", () => {
  const at = (bbox: number[] | null): boolean => touches({ id: 1, layers: { a: { bbox } } }, [106, 10, 107, 11]);
  assert.equal(at([106.5, 10.5, 106.6, 10.6]), true);
  assert.equal(at([108, 10.5, 109, 10.6]), false);
  assert.equal(at(null), true);
});

test("a pointer that comes down sets one place, whatever browsers tell of it", () => {
  const contacts = new Contacts();
  const down = (pointerId: number, clientX: number, clientY: number): void => contacts.begin({ pointerId, clientX, clientY });
  assert.ok(contacts.take({ clientX: 0, clientY: 0 })); // nobody saw it come down
  down(2, 100, 100);
  assert.ok(contacts.take({ clientX: 101, clientY: 100 })); // MapLibre's own event of a finger that rests
  assert.ok(!contacts.take({ pointerId: 2, clientX: 100, clientY: 100 })); // a click when it goes up
  assert.ok(!contacts.take({ pointerId: 2, clientX: 100, clientY: 100 })); // and the browser's context menu
  // A click that is told of after the next finger came down is still of its own.
  down(3, 300, 300);
  down(4, 340, 325);
  assert.ok(contacts.take({ pointerId: 3, clientX: 300, clientY: 300 }));
  assert.ok(contacts.take({ clientX: 340, clientY: 325 }));
  assert.ok(!contacts.take({ pointerId: 4, clientX: 340, clientY: 325 }));
  // Twice at one place are two; a mouse has one id for all its clicks.
  down(1, 50, 50);
  assert.ok(contacts.take({ pointerId: 1, clientX: 50, clientY: 50 }));
  down(1, 50, 50);
  assert.ok(contacts.take({ pointerId: 1, clientX: 50, clientY: 50 }));
  down(6, 50, 50);
  assert.ok(contacts.take({ clientX: 50, clientY: 50 }));
});
