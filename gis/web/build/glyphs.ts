/**
 * Makes the map's glyphs: dist/fonts/<font>/<first>-<last>.pbf, in the format MapLibre reads, from the
 * font files of the npm package. Only ranges that hold a glyph are written.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parse } from "opentype.js/dist/opentype.mjs";
import { PbfWriter } from "pbf";
import { distanceField, flatten, type Field } from "./sdf.ts";

const SIZE = 24;
/**
 * MapLibre's `top` is measured from the ascender; it centres a line as if the baseline were 26 px below,
 * so this value, and not the font's own ascender, puts capitals in the middle of a label.
 */
const ASCENDER = 26;
/** Files of the package, in the order in which a code point is looked for. */
const SUBSETS = ["latin", "latin-ext", "vietnamese"];
const FONTS = [
  { name: "Be Vietnam Pro Regular", weight: 400 },
  { name: "Be Vietnam Pro Bold", weight: 700 },
];

/**
 * Grey levels of a field are written in steps of this: an edge then lies at most a sixteenth of a pixel of 24 beside
 * its place, which nobody sees, and a first visit loads a third less of glyphs.
 */
const STEP = 4;

interface Glyph {
  id: number;
  advance: number;
  field: Field | null;
}

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

function readGlyphs(weight: number): Map<number, Glyph> {
  const glyphs = new Map<number, Glyph>();
  for (const subset of SUBSETS) {
    const path = `../node_modules/@fontsource/be-vietnam-pro/files/be-vietnam-pro-${subset}-${weight}-normal.woff`;
    const file = readFileSync(at(path));
    const font = parse(file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength));
    for (const key of Object.keys(font.tables.cmap.glyphIndexMap)) {
      const id = Number(key);
      if (glyphs.has(id) || id > 0xffff) continue;
      const glyph = font.charToGlyph(String.fromCodePoint(id));
      if (glyph.index === 0) continue;
      // opentype.js gives paths with y down; the field wants y up.
      const commands = glyph.getPath(0, 0, SIZE).commands;
      const segments = flatten(commands).map(([a, b, c, d]) => [a, -b, c, -d] as const);
      const advance = Math.round(((glyph.advanceWidth ?? 0) * SIZE) / font.unitsPerEm);
      glyphs.set(id, { id, advance, field: distanceField(segments) });
    }
  }
  return glyphs;
}

function writeGlyph(glyph: Glyph, pbf: PbfWriter): void {
  pbf.writeVarintField(1, glyph.id);
  if (glyph.field) pbf.writeBytesField(2, glyph.field.bitmap.map((level) => Math.min(255, Math.round(level / STEP) * STEP)));
  pbf.writeVarintField(3, glyph.field?.width ?? 0);
  pbf.writeVarintField(4, glyph.field?.height ?? 0);
  pbf.writeSVarintField(5, glyph.field?.left ?? 0);
  pbf.writeSVarintField(6, (glyph.field?.top ?? 0) - ASCENDER);
  pbf.writeVarintField(7, glyph.advance);
}

/** One range of one font as the `glyphs` message. */
function encodeRange(name: string, range: string, glyphs: readonly Glyph[]): Uint8Array {
  const pbf = new PbfWriter();
  pbf.writeMessage(
    1,
    (_: null, stack: PbfWriter) => {
      stack.writeStringField(1, name);
      stack.writeStringField(2, range);
      for (const glyph of glyphs) stack.writeMessage(3, writeGlyph, glyph);
    },
    null,
  );
  return pbf.finish();
}

for (const { name, weight } of FONTS) {
  const folder = at(`../dist/fonts/${name}/`);
  mkdirSync(folder, { recursive: true });
  const glyphs = readGlyphs(weight);
  const ranges = Map.groupBy([...glyphs.values()], (glyph) => Math.floor(glyph.id / 256) * 256);
  for (const [first, members] of ranges) {
    const range = `${first}-${first + 255}`;
    members.sort((a, b) => a.id - b.id);
    writeFileSync(`${folder}${range}.pbf`, encodeRange(name, range, members));
  }
  process.stdout.write(`${name}: ${glyphs.size} glyphs in ${ranges.size} ranges\n`);
}
