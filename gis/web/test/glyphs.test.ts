import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { PbfReader } from "pbf";

const FONTS = fileURLToPath(new URL("../dist/fonts/", import.meta.url));
const BUFFER = 3;

interface Glyph {
  id: number;
  bitmap: Uint8Array;
  width: number;
  height: number;
  top: number;
  advance: number;
}

function readGlyph(tag: number, glyph: Glyph, pbf: PbfReader): void {
  if (tag === 1) glyph.id = pbf.readVarint();
  else if (tag === 2) glyph.bitmap = pbf.readBytes();
  else if (tag === 3) glyph.width = pbf.readVarint();
  else if (tag === 4) glyph.height = pbf.readVarint();
  else if (tag === 6) glyph.top = pbf.readSVarint();
  else if (tag === 7) glyph.advance = pbf.readVarint();
}

/** All glyphs of a built font, read as MapLibre reads them. */
function readFont(name: string): Map<number, Glyph> {
  const glyphs = new Map<number, Glyph>();
  for (const file of readdirSync(`${FONTS}${name}`).filter((one) => one.endsWith(".pbf"))) {
    const first = Number(file.split("-")[0]);
    const pbf = new PbfReader(readFileSync(`${FONTS}${name}/${file}`));
    pbf.readFields((tag, _, stacks) => {
      if (tag !== 1) return;
      stacks.readMessage((inner, __, stack) => {
        if (inner !== 3) return;
        const empty = { id: 0, bitmap: new Uint8Array(), width: 0, height: 0, top: 0, advance: 0 };
        const glyph = stack.readMessage(readGlyph, empty);
        assert.ok(glyph.id >= first && glyph.id < first + 256, `${file}: ${glyph.id}`);
        glyphs.set(glyph.id, glyph);
      }, null);
    }, null);
  }
  return glyphs;
}

const VOWELS = "aăâeêioôơuưyAĂÂEÊIOÔƠUƯY";
const TONES = ["", "\u0300", "\u0301", "\u0303", "\u0309", "\u0323"];
const LETTERS = [...VOWELS].flatMap((vowel) => TONES.map((tone) => (vowel + tone).normalize("NFC"))).join("") + "đĐ";
const OTHERS = "bcdghklmnpqrstvxBCDGHKLMNPQRSTVXfjwzFJWZ0123456789.,:;-–/()[]'\"%+²³°×Øø";

for (const name of ["Be Vietnam Pro Regular", "Be Vietnam Pro Bold"]) {
  test(`${name} holds every Vietnamese letter, with ink`, { skip: !existsSync(FONTS) }, () => {
    const glyphs = readFont(name);
    assert.equal(LETTERS.length, 24 * 6 + 2);
    for (const letter of LETTERS + OTHERS) {
      const glyph = glyphs.get(letter.codePointAt(0) ?? 0);
      assert.ok(glyph, `${letter} is missing`);
      assert.equal(glyph.bitmap.length, (glyph.width + 2 * BUFFER) * (glyph.height + 2 * BUFFER), letter);
      assert.ok(glyph.advance > 0 && glyph.advance < 40, letter);
      // Ink: values over 255 * (1 - 0.25) are inside the outline; the outer rim is outside.
      assert.ok(glyph.bitmap.some((value) => value > 192), `${letter} has no ink`);
      assert.ok((glyph.bitmap[0] ?? 255) < 192, letter);
    }
    // marks stand above their letter: taller than the plain one
    const height = (letter: string): number => glyphs.get(letter.codePointAt(0) ?? 0)?.height ?? 0;
    assert.ok(height("ế") > height("ê") && height("ê") > height("e") && height("ậ") > height("â"));
    assert.equal(glyphs.get(0x20)?.width, 0);
    assert.ok((glyphs.get(0x20)?.advance ?? 0) > 3);
  });
}
