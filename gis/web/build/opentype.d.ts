/** The little of opentype.js that the build uses (the package has no types of its own). */
declare module "opentype.js/dist/opentype.mjs" {
  interface Glyph {
    index: number;
    advanceWidth?: number;
    getPath(x: number, y: number, fontSize: number): { commands: import("./sdf.ts").Command[] };
  }
  interface Font {
    unitsPerEm: number;
    ascender: number;
    descender: number;
    tables: {
      cmap: { glyphIndexMap: Record<string, number> };
      head: { xMin: number; yMin: number; xMax: number; yMax: number };
    };
    charToGlyph(character: string): Glyph;
  }
  export function parse(buffer: ArrayBuffer): Font;
}
