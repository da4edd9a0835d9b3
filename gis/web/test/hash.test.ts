import assert from "node:assert/strict";
import { test } from "node:test";
import { formatHash, type PageLink, parseHash } from "../src/hash.ts";

test("a link holds everything", () => {
  const link: PageLink = {
    view: { zoom: 15.25, lat: 10.7785, lon: 106.7215, bearing: -30.5, pitch: 45 },
    language: "en",
    layers: { shown: ["water_pipe", "power_line"] },
    opacity: { water_pipe: 40, "sector.power": 70 },
    crs: 5899,
    feature: { layer: "water_pipe", fid: "12" },
  };
  assert.deepEqual(parseHash(formatHash(link)), link);
  const tools: PageLink = { opacity: {}, parts: new Map([["tool", "measure"], ["line", "1,2;3&=%"]]) };
  assert.deepEqual(parseHash(formatHash(tools)), tools);
  const hidden: PageLink = { layers: { hidden: ["water_pipe"] }, opacity: {} };
  assert.deepEqual(parseHash(formatHash(hidden)), hidden);
  assert.deepEqual(parseHash(formatHash({ layers: { shown: [] }, opacity: {} })).layers, { shown: [] });
});

test("broken and hostile parts are ignored", () => {
  const nothing = { opacity: {} };
  for (const text of [
    "",
    "#",
    "#map=1/2",
    "#map=a/b/c",
    "#map=99/10/106",
    "#map=10/95/106",
    "#map=10/10/106/0/90",
    "#lang=fr",
    "#crs=javascript:1",
    "#feature=water_pipe/<img>",
    "#feature=../../etc/1",
    "#feature=constructor",
    "#Tool=a&__proto__=b&a b=c&x1=d&long=" + "x".repeat(2000),
    "#opacity=<b>:10,water:,water:101,water:-1,__proto__:50",
  ]) {
    assert.deepEqual(parseHash(text), nothing, text);
  }
  assert.deepEqual(parseHash("#layers=<script>,water_pipe,a b").layers, { shown: ["water_pipe"] });
});
