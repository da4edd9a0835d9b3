/**
 * Signed distance fields of glyph outlines, computed exactly from the outline (no raster step).
 *
 * A glyph is given in pixels, y up, origin on the baseline. The bitmap holds, row by row from the top,
 * the distance of each pixel's centre to the outline in the encoding MapLibre expects:
 * 255 * (1 - (d / RADIUS + CUTOFF)), with d > 0 outside.
 */
export const BUFFER = 3;
export const RADIUS = 8;
export const CUTOFF = 0.25;

export type Segment = readonly [x0: number, y0: number, x1: number, y1: number];
/** A move, line, quadratic or cubic curve, or close, as opentype.js gives them. */
export interface Command {
  type: "M" | "L" | "Q" | "C" | "Z";
  x?: number;
  y?: number;
  x1?: number;
  y1?: number;
  x2?: number;
  y2?: number;
}

export interface Field {
  /** Size of the glyph in pixels without the buffer; the bitmap is 2 * BUFFER larger each way. */
  width: number;
  height: number;
  /** Pixel column of the glyph's left side and row of its top above the baseline. */
  left: number;
  top: number;
  bitmap: Uint8Array;
}

const CURVE_STEPS = 12;

/** Outline commands as straight segments; curves are cut into 12, off by far less than a grey level. */
export function flatten(commands: readonly Command[]): Segment[] {
  const segments: Segment[] = [];
  let x = 0;
  let y = 0;
  let startX = 0;
  let startY = 0;
  const lineTo = (nx: number, ny: number): void => {
    if (nx !== x || ny !== y) segments.push([x, y, nx, ny]);
    x = nx;
    y = ny;
  };
  for (const c of commands) {
    if (c.type === "Z") {
      lineTo(startX, startY);
      continue;
    }
    const ex = c.x ?? 0;
    const ey = c.y ?? 0;
    if (c.type === "M") {
      x = startX = ex;
      y = startY = ey;
    } else if (c.type === "L") {
      lineTo(ex, ey);
    } else {
      const ax = c.x1 ?? 0;
      const ay = c.y1 ?? 0;
      const [sx, sy] = [x, y];
      for (let i = 1; i <= CURVE_STEPS; i++) {
        const t = i / CURVE_STEPS;
        const u = 1 - t;
        if (c.type === "Q") {
          lineTo(u * u * sx + 2 * u * t * ax + t * t * ex, u * u * sy + 2 * u * t * ay + t * t * ey);
        } else {
          const bx = c.x2 ?? 0;
          const by = c.y2 ?? 0;
          lineTo(
            u * u * u * sx + 3 * u * u * t * ax + 3 * u * t * t * bx + t * t * t * ex,
            u * u * u * sy + 3 * u * u * t * ay + 3 * u * t * t * by + t * t * t * ey,
          );
        }
      }
    }
  }
  return segments;
}

/** Winding number of the outline around a point (non-zero is inside, so overlapping parts are ink). */
function winding(segments: readonly Segment[], px: number, py: number): number {
  let turns = 0;
  for (const [x0, y0, x1, y1] of segments) {
    if (y0 <= py === y1 <= py) continue;
    const side = (x1 - x0) * (py - y0) - (px - x0) * (y1 - y0);
    if (y1 > py && side > 0) turns++;
    else if (y1 <= py && side < 0) turns--;
  }
  return turns;
}

function squaredDistance([x0, y0, x1, y1]: Segment, px: number, py: number): number {
  const dx = x1 - x0;
  const dy = y1 - y0;
  const t = Math.max(0, Math.min(1, ((px - x0) * dx + (py - y0) * dy) / (dx * dx + dy * dy)));
  const ex = px - x0 - t * dx;
  const ey = py - y0 - t * dy;
  return ex * ex + ey * ey;
}

/** The distance field of an outline; null when there is no ink (a space). */
export function distanceField(segments: readonly Segment[]): Field | null {
  if (segments.length === 0) return null;
  const xs = segments.flatMap((s) => [s[0], s[2]]);
  const ys = segments.flatMap((s) => [s[1], s[3]]);
  const left = Math.floor(Math.min(...xs));
  const top = Math.ceil(Math.max(...ys));
  const width = Math.ceil(Math.max(...xs)) - left;
  const height = top - Math.floor(Math.min(...ys));
  const columns = width + 2 * BUFFER;
  const rows = height + 2 * BUFFER;
  const bitmap = new Uint8Array(columns * rows);
  for (let row = 0; row < rows; row++) {
    const py = top + BUFFER - row - 0.5;
    for (let column = 0; column < columns; column++) {
      const px = left - BUFFER + column + 0.5;
      let nearest = Infinity;
      for (const segment of segments) nearest = Math.min(nearest, squaredDistance(segment, px, py));
      const distance = Math.sqrt(nearest) * (winding(segments, px, py) === 0 ? 1 : -1);
      const value = 255 * (1 - (distance / RADIUS + CUTOFF));
      bitmap[row * columns + column] = Math.max(0, Math.min(255, Math.round(value)));
    }
  }
  return { width, height, left, top, bitmap };
}
