/**
 * Makes what prints need (gis/print): dist/print/icons.json, the icons as paths of M, L, C and Z alone, and
 * dist/print/fonts.json with the font files beside it: PDF embeds TrueType, the npm package has it packed as
 * WOFF, in subsets.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { inflateSync } from "node:zlib";
import { initWasm, Resvg } from "@resvg/resvg-wasm";
import { parse } from "opentype.js/dist/opentype.mjs";

/** Files of the package, in the order in which a code point is looked for. */
const SUBSETS = ["latin", "latin-ext", "vietnamese"];
const FACES = [
  { name: "regular", weight: 400 },
  { name: "bold", weight: 700 },
];
/** Tables that a PDF reader uses; the others (kerning, ligatures) are left out. */
const TABLES = new Set(["cmap", "glyf", "head", "hhea", "hmtx", "loca", "maxp"]);

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const folder = at("../dist/print/");
mkdirSync(folder, { recursive: true });

/** The TrueType file in a WOFF 1.0 file, with the tables of TABLES. */
function unpack(woff: Buffer): Buffer {
  const tables = Array.from({ length: woff.readUInt16BE(12) }, (_, i) => {
    const entry = 44 + 20 * i;
    const [offset, packed, length] = [4, 8, 12].map((n) => woff.readUInt32BE(entry + n)) as [number, number, number];
    const bytes = woff.subarray(offset, offset + packed);
    return {
      tag: woff.toString("latin1", entry, entry + 4),
      bytes: packed < length ? inflateSync(bytes) : bytes,
      checksum: woff.readUInt32BE(entry + 16),
    };
  }).filter((table) => TABLES.has(table.tag));
  const power = Math.floor(Math.log2(tables.length));
  const head = Buffer.alloc(12 + 16 * tables.length);
  head.writeUInt32BE(0x00010000, 0);
  head.writeUInt16BE(tables.length, 4);
  head.writeUInt16BE(16 * 2 ** power, 6);
  head.writeUInt16BE(power, 8);
  head.writeUInt16BE(16 * (tables.length - 2 ** power), 10);
  const parts = [head];
  let offset = head.length;
  tables.forEach(({ tag, bytes, checksum }, i) => {
    const entry = 12 + 16 * i;
    head.write(tag, entry, "latin1");
    head.writeUInt32BE(checksum, entry + 4);
    head.writeUInt32BE(offset, entry + 8);
    head.writeUInt32BE(bytes.length, entry + 12);
    const padded = Buffer.alloc((bytes.length + 3) & ~3);
    bytes.copy(padded);
    parts.push(padded);
    offset += padded.length;
  });
  return Buffer.concat(parts);
}

/** One file of a face: name of the file, measures in thousandths of the size, code point -> [glyph, width]. */
function face(name: string, weight: number, subset: string) {
  const path = `../node_modules/@fontsource/be-vietnam-pro/files/be-vietnam-pro-${subset}-${weight}-normal.woff`;
  const file = readFileSync(at(path));
  const font = parse(file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength));
  const scale = 1000 / font.unitsPerEm;
  const glyphs: Record<string, [number, number]> = {};
  for (const key of Object.keys(font.tables.cmap.glyphIndexMap)) {
    const glyph = font.charToGlyph(String.fromCodePoint(Number(key)));
    if (glyph.index > 0) glyphs[key] = [glyph.index, Math.round((glyph.advanceWidth ?? 0) * scale)];
  }
  const target = `${name}-${subset}.ttf`;
  writeFileSync(`${folder}${target}`, unpack(file));
  const { xMin, yMin, xMax, yMax } = font.tables.head;
  const box = [xMin, yMin, xMax, yMax].map((value: number) => Math.round(value * scale));
  const [ascent, descent] = [font.ascender, font.descender].map((value: number) => Math.round(value * scale));
  return { file: target, ascent, descent, box, glyphs };
}

const fonts = Object.fromEntries(
  FACES.map(({ name, weight }) => [name, SUBSETS.map((subset) => face(name, weight, subset))]),
);
writeFileSync(`${folder}fonts.json`, JSON.stringify(fonts));

await initWasm(readFileSync(at("../node_modules/@resvg/resvg-wasm/index_bg.wasm")));

/** Attributes of an element as text. */
const attributes = (text: string): Record<string, string> =>
  Object.fromEntries([...text.matchAll(/([\w-]+)="([^"]*)"/g)].map(([, name, value]) => [name, value]));

/** An icon as paths, in the order in which they are drawn. resvg has resolved shapes, groups and arcs. */
function icon(file: string) {
  const plain = new Resvg(readFileSync(at(`../icons/${file}`), "utf8")).toString();
  const top = attributes(/<svg([^>]*)>/.exec(plain)?.[1] ?? "");
  const unknown = [...plain.matchAll(/<(\w+)|transform=|opacity=/g)].find(
    ([text, tag]) => !["svg", "defs", "g", "path"].includes(tag ?? text),
  );
  if (unknown) throw new Error(`icons/${file}: ${unknown[0]} is not known to prints`);
  const paths = [...plain.matchAll(/<path([^>]*)\/>/g)].map(([, text]) => {
    const given = attributes(text ?? "");
    const { d, fill, stroke } = given;
    return {
      d,
      fill: fill === "none" ? null : fill,
      stroke: stroke === "none" || !stroke ? null : stroke,
      width: Number(given["stroke-width"] ?? 1),
      round: given["stroke-linecap"] === "round" || given["stroke-linejoin"] === "round",
    };
  });
  return { width: Number(top.width), height: Number(top.height), box: top.viewBox?.split(" ").map(Number), paths };
}

const names = readdirSync(at("../icons"))
  .filter((file) => file.endsWith(".svg"))
  .sort();
const icons = Object.fromEntries(names.map((file) => [file.replace(/\.svg$/, ""), icon(file)]));
writeFileSync(`${folder}icons.json`, JSON.stringify(icons));
process.stdout.write(`print: ${names.length} icons, ${FACES.length * SUBSETS.length} font files\n`);
