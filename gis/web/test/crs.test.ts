import assert from "node:assert/strict";
import { test } from "node:test";
import { makeTransform, parsePair } from "../src/crs.ts";

const SHIFT = "-191.90441429,-39.30318279,-111.45032835,0.00928836,-0.01975479,0.00427372,0.252906278";
const tm = (meridian: number, k: number): string =>
  `+proj=tmerc +lat_0=0 +lon_0=${meridian} +k=${k} +x_0=500000 +y_0=0 +ellps=WGS84 +towgs84=${SHIFT} +units=m +no_defs`;
const TM3_105_45 = makeTransform({ code: 9210, name: "VN-2000 / TM-3 105-45", proj4: tm(105.75, 0.9999) });

/** Distance in metres of two places in degrees (small distances near 11 N). */
function metres([lon1, lat1]: readonly number[], [lon2, lat2]: readonly number[]): number {
  return Math.hypot(((lon1 ?? NaN) - (lon2 ?? NaN)) * 109_300, ((lat1 ?? NaN) - (lat2 ?? NaN)) * 110_620);
}

// PROJ's own figures with the pinned pipeline, to all digits, in the direction that it computed them. There and
// back is not the same to the last digit: both directions put the point at height 0, and the 225 m between
// the datums then cost up to 0.1 mm.
const TO_WGS84: [number, number, number, number][] = [
  [600000, 1190000, 106.666128316166638, 10.759445635100663],
  [603000, 1192000, 106.69361224445142, 10.77744385998821],
  [580000, 1215000, 106.48382436227158, 10.985947401013103],
];
const BEN_THANH: [number, number] = [106.698, 10.7725];

for (const [east, north, lon, lat] of TO_WGS84) {
  test(`EPSG:9210 ${east} ${north}: as PROJ to less than 0.001 mm, and back to less than 0.2 mm`, () => {
    assert.ok(metres(TM3_105_45.inverse([east, north]), [lon, lat]) < 1e-6);
    const [x, y] = TM3_105_45.forward([lon, lat]);
    assert.ok(Math.hypot(x - east, y - north) < 2e-4, `${x} ${y}`);
  });
}

test("Ben Thanh in EPSG:9210: as PROJ to less than 0.001 mm", () => {
  const [x, y] = TM3_105_45.forward(BEN_THANH);
  assert.ok(Math.hypot(x - 603481.5879730969, y - 1191454.6111589656) < 1e-6, `${x} ${y}`);
});

test("Ben Thanh in the other systems of VN-2000", () => {
  const utm = makeTransform({ code: 3405, name: "", proj4: tm(105, 0.9996) }).forward(BEN_THANH);
  assert.deepEqual(utm.map((n) => n.toFixed(3)), ["685466.299", "1191450.738"]);
  const zone482 = makeTransform({ code: 5897, name: "", proj4: tm(105, 0.9999) }).forward(BEN_THANH);
  assert.deepEqual(zone482.map((n) => n.toFixed(3)), ["685521.961", "1191808.316"]);
  const degrees = makeTransform({
    code: 4756,
    name: "",
    proj4: `+proj=longlat +ellps=WGS84 +towgs84=${SHIFT} +no_defs`,
  });
  assert.ok(degrees.geographic);
  assert.deepEqual(degrees.forward(BEN_THANH).map((n) => n.toFixed(9)), ["106.696213782", "10.773518484"]);
});

test("without the datum step the vectors would be 225 m off: the test can fail", () => {
  const bare = makeTransform({ code: 9210, name: "", proj4: tm(105.75, 0.9999).replace(/\+towgs84=\S+/, "") });
  const [x, y] = bare.forward(BEN_THANH);
  const off = Math.hypot(x - 603481.588, y - 1191454.611);
  assert.ok(off > 225 && off < 226, String(off));
});

test("typed coordinates", () => {
  assert.deepEqual(parsePair("10.7725, 106.698"), [10.7725, 106.698]);
  assert.deepEqual(parsePair(" 10,7725  106,698 "), [10.7725, 106.698]);
  assert.deepEqual(parsePair("10,7725; 106,698"), [10.7725, 106.698]);
  assert.deepEqual(parsePair("603481.59 E  1191454.61 N"), [603481.59, 1191454.61]);
  assert.deepEqual(parsePair("603481,1191454"), [603481, 1191454]);
  assert.deepEqual(parsePair("10.7725°N 106.698°E"), [10.7725, 106.698]);
  assert.equal(parsePair("Bến Thành"), null);
  assert.equal(parsePair("1 2 3"), null);
});
