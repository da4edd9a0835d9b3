import assert from "node:assert/strict";
import { test } from "node:test";
import { classesOf, colourExpression, isOf, limitsOf, readColours, valuesOf, writeColours } from "../src/see/colouring.ts";
import { CATEGORIES, contrast, fromHsl, ramp, recoloured, TONES, toHsl } from "../src/see/colours.ts";
import { depthExpression, depthFactor } from "../src/see/depth.ts";
import { conditionExpression, type Filter, filterExpression, operatorsOf, readFilters, writeFilters } from "../src/see/filters.ts";
import { entryOf, holds } from "../src/see/in-view.ts";
import { moved, ordered, readMoves, writeMoves } from "../src/see/order.ts";
import { themes, themeShown } from "../src/see/themes.ts";
import type { Catalogue, Field, Layer, LegendEntry, Sector } from "../src/types.ts";

const title = { vi: "v", en: "e" };
function field(name: string, type: Field["type"], from_zoom: number | null, domain: Field["domain"] = null): Field {
  return { name, type, from_zoom, domain, unit: null, title };
}
const MATERIAL = field("material", "string", 16, [{ value: "pvc", title }, { value: "steel", title }, { value: "unknown", title }]);
const DIAMETER = field("diameter_mm", "number", 14);
const NAME = field("street", "string", 12);
const BURIED = field("depth_m", "number", 16);
function layer(id: string, fields: Field[], dimension: Layer["dimension"] = 1, legend: LegendEntry[] = []): Layer {
  return {
    id, title, description: null, geometry: "LineString", dimension, owner: "a", agency: title, access: "public", count: 1,
    tiles: { min_zoom: 11, max_zoom: 18 }, extent: null, fields, label_field: null, legend, style_layers: [],
  };
}
const PIPE = layer("water_pipe", [MATERIAL, DIAMETER, NAME, BURIED]);

test("colours survive the way to HSL and back, and tones keep text readable", () => {
  for (const hex of ["#000000", "#ffffff", "#08519c", "#d7301f", "#6baed6", "#808080"]) assert.equal(fromHsl(toHsl(hex)), hex);
  assert.ok(Math.abs(contrast("#000000", "#ffffff") - 21) < 1e-9);
  for (const hex of ["#3b7198", "#4d473d", "#5c5546", "#08306b", "#8c1a10", "#ffffff", "#000000"]) {
    const { light, dark } = TONES;
    assert.ok(contrast(light.ground("text")?.(hex) ?? hex, light.background) >= 4.5, `${hex} on light`);
    for (const change of [dark.ground("text"), dark.other("text")]) {
      assert.ok(contrast(change?.(hex) ?? hex, dark.background) >= 4.5, `${hex} on dark`);
    }
    assert.ok(contrast(dark.other("line")?.(hex) ?? hex, dark.background) >= 3, `line ${hex} on dark`);
  }
  assert.deepEqual(recoloured(["match", ["get", "#k"], "a", "#112233", "#445566"], () => "#000000"), [
    "match", ["get", "#k"], "a", "#000000", "#000000",
  ]);
});

test("each step of a ramp is told from its neighbour, and categories from white", () => {
  assert.equal(new Set(ramp(6)).size, 6);
  assert.deepEqual([ramp(2)[0], ramp(2)[1]], [ramp(6)[0], ramp(6)[5]]);
  assert.equal(new Set(CATEGORIES).size, CATEGORIES.length);
  for (const colour of CATEGORIES) assert.ok(contrast(colour, "#ffffff") >= 2.1, colour);
});

test("what is asked of a field goes by its type", () => {
  assert.deepEqual(operatorsOf(MATERIAL), ["is", "not", "empty", "filled"]);
  assert.ok(operatorsOf(DIAMETER).includes("ge"));
  assert.ok(operatorsOf(NAME).includes("has"));
  assert.equal(conditionExpression({ field: "diameter_mm", operator: "ge", value: "wide" }, DIAMETER), null);
  const least = conditionExpression({ field: "diameter_mm", operator: "ge", value: "0,5" }, DIAMETER) as unknown[];
  assert.deepEqual(least[2], [
    ">=", ["to-number", ["get", "diameter_mm"]], 0.5,
  ]);
  assert.equal(conditionExpression({ field: "street", operator: "has", value: "" }, NAME), null);
});

test("below the zoom at which tiles hold the attribute everything is drawn", () => {
  const filter: Filter = { all: false, conditions: [
    { field: "material", operator: "is", value: "pvc" },
    { field: "diameter_mm", operator: "lt", value: "100" },
    { field: "gone", operator: "is", value: "1" },
  ] };
  const expression = filterExpression(filter, PIPE) as unknown[];
  assert.deepEqual(expression.slice(0, 2), ["any", ["<", ["zoom"], 16]]);
  assert.equal((expression[2] as unknown[]).length, 3);
  assert.equal(filterExpression({ all: true, conditions: [] }, PIPE), null);
});

test("filters, colours and order survive a link, whatever values hold", () => {
  const filters = new Map<string, Filter>([
    ["water_pipe", { all: false, conditions: [{ field: "street", operator: "has", value: "a.b,c*d%2e<b>&=#" }, { field: "material", operator: "empty", value: "" }] }],
    ["power_line", { all: true, conditions: [{ field: "kv", operator: "ge", value: "22" }] }],
  ]);
  assert.deepEqual(readFilters(writeFilters(filters)), filters);
  assert.equal(writeFilters(new Map([["x", { all: true, conditions: [{ field: "a", operator: "is", value: "" }] }]])), null);
  for (const broken of [null, "", "*", "water_pipe", "w*a.drop.1", "../x*a.is.1", "w*__proto__.is.1", "x".repeat(2000)]) {
    assert.equal(readFilters(broken).size, 0);
  }
  const colours = new Map([
    ["water_pipe", { field: "diameter_mm", limits: [100, 250.5], values: ["100", "250.5"] }],
    ["power_line", { field: "feeder", limits: [], values: ["471 Hòa|Bình", "x:y,z"] }],
  ]);
  assert.deepEqual(readColours(writeColours(colours)), colours);
  assert.equal(readColours("a:b:3|2").get("a")?.limits.length, 0);
  assert.equal(readColours("a:b:%E0%A4%A").get("a")?.values[0], "%E0%A4%A");
  const moves = [{ layer: "a", below: "b" }, { layer: "c", below: "" }];
  assert.deepEqual(readMoves(writeMoves(moves)), moves);
  assert.deepEqual(readMoves("a:b:c,<x>:y"), [{ layer: "a", below: "b" }]);
});

test("classes: few values get one each, many are shared out, rounded and ascending", () => {
  assert.deepEqual(limitsOf([100, 100, 400, 200]), [200, 400]);
  assert.deepEqual(limitsOf([5, 5]), []);
  const limits = limitsOf(Array.from({ length: 1000 }, (_, i) => 1950 + (i % 75)));
  assert.ok(limits.length >= 4 && limits.length <= 5);
  assert.ok(limits.every((limit, i) => Number.isInteger(limit) && limit > (limits[i - 1] ?? 1950)), String(limits));
  assert.deepEqual(valuesOf(["b", "a", "b"]), ["b", "a"]);
  const classes = classesOf({ field: "diameter_mm", limits: [200, 400], values: [] }, DIAMETER);
  assert.deepEqual(classes.map((one) => isOf(one, 200)), [false, true, false]);
  assert.deepEqual(classes.map((one) => isOf(one, undefined)), [false, false, false]);
});

test("a colour by attribute keeps the layer's own where tiles do not hold it", () => {
  const by = colourExpression({ field: "material", limits: [], values: [] }, MATERIAL, PIPE, "#123456") as unknown[];
  assert.deepEqual(by.slice(0, 4), ["step", ["zoom"], "#123456", 16]);
  assert.equal((by[4] as unknown[])[0], "match");
  const depth = depthExpression(PIPE, "#123456", false) as unknown[];
  assert.deepEqual(depth.slice(0, 4), ["step", ["zoom"], "#123456", 16]);
  assert.equal(depthExpression(layer("road", [NAME]), "#123456", false), "#123456");
  assert.equal(depthFactor(PIPE, false), 1);
  assert.ok(depthFactor(layer("road", [NAME]), true) < 0.5);
});

test("the order of drawing follows the moves, and unknown layers move nothing", () => {
  const order = ["road", "pipe", "cable"];
  assert.deepEqual(ordered(order, [{ layer: "road", below: "cable" }]), ["pipe", "cable", "road"]);
  assert.deepEqual(ordered(order, [{ layer: "cable", below: "" }]), ["cable", "road", "pipe"]);
  assert.deepEqual(ordered(order, [{ layer: "x", below: "road" }, { layer: "road", below: "x" }, { layer: "pipe", below: "pipe" }]), order);
  assert.deepEqual(moved([{ layer: "a", below: "b" }], { layer: "a", below: "c" }), [{ layer: "a", below: "c" }]);
  // c lies on a, which was on b then: the first move still counts
  assert.equal(moved([{ layer: "a", below: "b" }, { layer: "c", below: "a" }], { layer: "a", below: "" }).length, 3);
});

test("a new sector is a theme by itself, on the ground", () => {
  const sector = (id: string, base: boolean, layers: string[]): Sector => ({ id, title, colour: "#000000", base, layers: layers.map((one) => layer(one, [])) });
  const catalogue = { sectors: [sector("base", true, ["road", "sheet"]), sector("new", false, ["a"]), sector("quality", false, ["finding"]), sector("none", false, [])] } as unknown as Catalogue;
  const state = { isDefault: (id: string) => !["sheet", "finding"].includes(id) };
  const all = themes(catalogue, state);
  assert.deepEqual(all.map(({ id, layers }) => [id, [...layers].join()]), [["all", "road,a"], ["new", "road,a"], ["quality", "road,finding"]]);
  assert.equal(themeShown(all, new Set(["road", "finding"]))?.id, "quality");
  assert.equal(themeShown(all, new Set(["road"])), null);
});

test("the legend of a view knows the class of a feature", () => {
  const entry = (filter: unknown): LegendEntry => ({ title, kind: "line", colour: "#000000", outline: null, dash: null, width: 1, icon: null, filter } as LegendEntry);
  const classes = layer("l", [], 1, [
    entry(["==", ["get", "k"], "a"]),
    entry(["==", ["to-string", ["get", "n"]], "2"]),
    entry(["!", ["in", ["get", "k"], ["literal", ["a", "b"]]]]),
  ]);
  assert.deepEqual([{ k: "a" }, { k: "b", n: 2 }, { k: "z" }, { k: "b" }].map((one) => entryOf(classes, null, one)), [0, 1, 2, -1]);
  assert.equal(holds(["==", ["get", "toString"], "x"], {}), false);
});
