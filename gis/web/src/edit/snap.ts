/** Snapping: to nodes first, then to vertices, then to lines, whatever is within reach. Metres, storage CRS. */
import type { Position } from "geojson";
import { boxOf, distance, isEnd, type Path, round, samePath, segments, type Shape, vertices, type XY } from "./geometry.ts";

export type SnapKind = "node" | "vertex" | "line";

/** Something to snap to: a feature as it stands, or as it was drawn and is not saved yet. */
export interface Target {
  layer: string;
  /** fid, or the name of a new feature. */
  id: string;
  shape: Shape;
  /** Computed once: where it is. */
  box: [number, number, number, number];
}

export interface Snap {
  kind: SnapKind;
  layer: string;
  id: string;
  /** Exactly the vertex, digit for digit; on a line the nearest place of it, to 0.1 mm. */
  at: Position;
  distance: number;
  /** Of a line: the segment. */
  path: Path;
}

const RANK: Record<SnapKind, number> = { node: 0, vertex: 1, line: 2 };

export function target(layer: string, id: string, shape: Shape): Target {
  return { layer, id, shape, box: boxOf(shape) };
}

/** The place of a segment that is nearest, with the height that the line has there. */
function nearest(at: XY, a: Position, b: Position): Position {
  const [ax = 0, ay = 0, az] = a;
  const [bx = 0, by = 0, bz] = b;
  const dx = bx - ax;
  const dy = by - ay;
  const square = dx * dx + dy * dy;
  const share = square === 0 ? 0 : Math.min(1, Math.max(0, ((at[0] - ax) * dx + (at[1] - ay) * dy) / square));
  const height = az !== undefined && bz !== undefined ? [round(az + (bz - az) * share)] : [];
  return [round(ax + dx * share), round(ay + dy * share), ...height];
}

/**
 * What is snapped to from `at` within `reach` metres; null: nothing. `skip`: what is being moved itself (one
 * vertex of a feature, or the whole feature where no path is given).
 */
export function snap(
  at: XY,
  targets: readonly Target[],
  reach: number,
  skip?: { layer: string; id: string; path?: Path },
): Snap | null {
  let best: Snap | null = null;
  const offer = (one: Snap): void => {
    if (one.distance > reach) return;
    const order = best === null ? -1 : RANK[one.kind] - RANK[best.kind] || one.distance - best.distance;
    if (order < 0) best = one;
  };
  for (const { layer, id, shape, box } of targets) {
    if (at[0] < box[0] - reach || at[1] < box[1] - reach || at[0] > box[2] + reach || at[1] > box[3] + reach) continue;
    const own = skip?.layer === layer && skip.id === id;
    if (own && skip?.path === undefined) continue;
    for (const vertex of vertices(shape)) {
      if (own && samePath(vertex.path, skip?.path ?? [])) continue;
      const isNode = shape.type === "Point" || shape.type === "MultiPoint";
      const kind = isNode ? "node" : isEnd(shape, vertex.path) ? "node" : "vertex";
      offer({ kind, layer, id, at: vertex.at, distance: distance(at, vertex.at), path: vertex.path });
    }
    if (own) continue; // the segments of a moving vertex move with it
    for (const { path, a, b } of segments(shape)) {
      const place = nearest(at, a, b);
      offer({ kind: "line", layer, id, at: place, distance: distance(at, place), path });
    }
  }
  return best;
}

/** The segment of one shape that is nearest to a place: where a vertex is added. */
export function nearestSegment(at: XY, shape: Shape): { path: Path; at: Position; distance: number } | null {
  let best: { path: Path; at: Position; distance: number } | null = null;
  for (const { path, a, b } of segments(shape)) {
    const place = nearest(at, a, b);
    const away = distance(at, place);
    if (best === null || away < best.distance) best = { path, at: place, distance: away };
  }
  return best;
}
