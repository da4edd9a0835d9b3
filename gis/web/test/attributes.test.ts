import assert from "node:assert/strict";
import { test } from "node:test";
import { attributes, formatValue } from "../src/attributes.ts";
import { setLanguage } from "../src/i18n.ts";
import type { Field, Layer } from "../src/types.ts";

function field(name: string, type: Field["type"], unit: string | null = null, domain: Field["domain"] = null): Field {
  return { name, type, unit, domain, from_zoom: 14, title: { vi: `vi ${name}`, en: `en ${name}` } };
}

const FIELDS = [
  field("fid", "integer"),
  field("diameter_mm", "integer", "mm"),
  field("area_m2", "number", "m2"),
  field("installed_year", "integer"),
  field("survey_date", "date"),
  field("buried", "boolean"),
  field("state", "string", null, [{ value: "open", title: { vi: "Mở", en: "Open" } }]),
  field("code", "integer", null, [{ value: 3, title: { vi: "Ba", en: "Three" } }]),
];
const LAYER = { fields: FIELDS, owner: "sawaco", agency: { vi: "Cấp nước", en: "Water" } } as unknown as Layer;
const value = (name: string, raw: unknown): string => formatValue(raw, FIELDS.find((one) => one.name === name));

test("values in the language, with units and domain titles", () => {
  setLanguage("vi");
  assert.equal(value("diameter_mm", 1200), "1.200 mm");
  assert.equal(value("area_m2", 85.25), "85,25 m²");
  assert.equal(value("installed_year", 2012), "2012"); // a year has no thousands separator
  assert.equal(value("buried", true), "Có");
  assert.equal(value("state", "open"), "Mở");
  assert.equal(value("state", "unheard of"), "unheard of");
  assert.equal(value("code", 3), "Ba");
  setLanguage("en");
  assert.equal(value("diameter_mm", 1200), "1,200 mm");
  assert.equal(value("survey_date", "2019-05-02"), "2 May 2019"); // whatever the reader's time zone
  assert.equal(value("survey_date", "not a date"), "not a date");
  assert.equal(value("state", "open"), "Open");
});

test("rows in the order of the catalogue, unknown ones kept, empty ones left out, bookkeeping last", () => {
  setLanguage("en");
  const rows = attributes(LAYER, {
    fid: 7,
    unknown: "<b>",
    state: "open",
    diameter_mm: 100,
    area_m2: null,
    owner: "sawaco",
    code: "",
  });
  assert.deepEqual(
    rows.map((row) => [row.name, row.title, row.value]),
    [
      ["diameter_mm", "en diameter_mm", "100 mm"],
      ["state", "en state", "Open"],
      ["unknown", "unknown", "<b>"],
      ["owner", "Managed by", "Water"],
      ["fid", "en fid", "7"],
    ],
  );
});
