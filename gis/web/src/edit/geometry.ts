/**
 * Editing geometries vertex by vertex: plain functions that give new geometries and leave the old ones.
 *
 * Coordinates are those of the city's storage CRS (metres), just as the server gave them: a vertex that is
 * not touched goes back digit for digit, and its height with it.
 */
import type { Geometry, Position } from "geojson";

export type Shape = Exclude<Geometry, { type: "GeometryCollection" }>;
/** Indices that lead to a vertex: [] of a point, [i] of a line, [ring, i] of a polygon; parts before them. */
export type Path = readonly number[];
export type XY = readonly [x: number, y: number];

export interface Vertex {
  path: Path;
  at: Position;
}

export interface Segment {
  /** Where a vertex on it would stand. */
  path: Path;
  a: Position;
  b: Position;
}

type Nested = Position | Nested[];

/** How many indices lead to a vertex. */
const DEPTH: Record<Shape["type"], number> = {
  Point: 0,
  MultiPoint: 1,
  LineString: 1,
  MultiLineString: 2,
  Polygon: 2,
  MultiPolygon: 3,
};

export function isRing(shape: Shape): boolean {
  return shape.type === "Polygon" || shape.type === "MultiPolygon";
}

/** The runs of vertices: lines and rings, or each point as one, with the path that leads to them. */
function runs(shape: Shape): { path: Path; run: Position[] }[] {
  const found: { path: Path; run: Position[] }[] = [];
  const walk = (one: Nested, path: Path, deeper: number): void => {
    if (deeper === 1) found.push({ path, run: one as Position[] });
    else for (const [number, part] of (one as Nested[]).entries()) walk(part, [...path, number], deeper - 1);
  };
  if (shape.type === "Point") found.push({ path: [], run: [shape.coordinates] });
  else walk(shape.coordinates as Nested, [], DEPTH[shape.type]);
  return found;
}

/** Every vertex once: the one that closes a ring is its first. */
export function vertices(shape: Shape): Vertex[] {
  const closed = isRing(shape);
  return runs(shape).flatMap(({ path, run }) =>
    (closed ? run.slice(0, -1) : run).map((at, number) => ({ path: shape.type === "Point" ? [] : [...path, number], at })),
  );
}

export function segments(shape: Shape): Segment[] {
  if (shape.type === "Point" || shape.type === "MultiPoint") return [];
  return runs(shape).flatMap(({ path, run }) =>
    run.slice(1).map((b, number) => ({ path: [...path, number + 1], a: run[number] as Position, b })),
  );
}

/** Ends of a line: the vertices at which others connect. */
export function isEnd(shape: Shape, path: Path): boolean {
  if (shape.type !== "LineString" && shape.type !== "MultiLineString") return false;
  const run = runs(shape).find((one) => one.path.every((index, level) => index === path[level]))?.run ?? [];
  const number = path[path.length - 1];
  return number === 0 || number === run.length - 1;
}

export function vertexAt(shape: Shape, path: Path): Position | null {
  return vertices(shape).find((one) => samePath(one.path, path))?.at ?? null;
}

export function samePath(a: Path, b: Path): boolean {
  return a.length === b.length && a.every((index, level) => index === b[level]);
}

/** The run that a path leads into is replaced by what `change` makes of it; null: nothing is left of it. */
function withRun(shape: Shape, path: Path, change: (run: Position[], number: number) => Position[] | null): Shape | null {
  const walk = (one: Nested, left: Path): Nested | null => {
    const [index = 0, ...rest] = left;
    if (rest.length === 0) return change(one as Position[], index);
    const changed = walk((one as Nested[])[index] as Nested, rest);
    return changed === null ? null : (one as Nested[]).map((part, number) => (number === index ? changed : part));
  };
  const changed = walk(shape.coordinates as Nested, path);
  return changed === null ? null : ({ ...shape, coordinates: changed } as Shape);
}

function placed(vertex: Position, [x, y]: XY): Position {
  return [x, y, ...vertex.slice(2)];
}

/** The vertex elsewhere, at its height; a ring stays closed. */
export function moveVertex(shape: Shape, path: Path, to: XY): Shape {
  if (shape.type === "Point") return { ...shape, coordinates: placed(shape.coordinates, to) };
  const moved = withRun(shape, path, (run, number) => {
    const next = run.map((vertex, index) => (index === number ? placed(vertex, to) : vertex));
    if (isRing(shape) && number === 0) next[next.length - 1] = next[0] as Position;
    return next;
  });
  return moved as Shape;
}

/** Another vertex before the one at the path, at the height that the line has there. */
export function insertVertex(shape: Shape, path: Path, [x, y]: XY): Shape {
  const made = withRun(shape, path, (run, number) => {
    const a = run[number - 1] as Position;
    const b = run[number] as Position;
    const whole = Math.hypot((b[0] as number) - (a[0] as number), (b[1] as number) - (a[1] as number));
    const share = whole > 0 ? Math.hypot(x - (a[0] as number), y - (a[1] as number)) / whole : 0;
    const height = a[2] !== undefined && b[2] !== undefined ? [round(a[2] + (b[2] - a[2]) * Math.min(share, 1))] : [];
    return [...run.slice(0, number), [x, y, ...height], ...run.slice(number)];
  });
  return made as Shape;
}

/** Without the vertex; null where too few would be left. */
export function removeVertex(shape: Shape, path: Path): Shape | null {
  if (shape.type === "Point" || shape.type === "MultiPoint") return null;
  const closed = isRing(shape);
  return withRun(shape, path, (run, number) => {
    const open = closed ? run.slice(0, -1) : run;
    const left = open.filter((_, index) => index !== number);
    if (left.length < (closed ? 3 : 2)) return null;
    return closed ? [...left, left[0] as Position] : left;
  });
}

/** A copy with each position changed: for another CRS, say. */
export function mapped(shape: Shape, change: (position: Position) => Position): Shape {
  const walk = (one: Nested): Nested =>
    typeof one[0] === "number" ? change(one as Position) : (one as Nested[]).map(walk);
  return { ...shape, coordinates: walk(shape.coordinates as Nested) } as Shape;
}

/** As the server writes coordinates: to 0.1 mm. */
export function round(value: number): number {
  return Math.round(value * 10_000) / 10_000;
}

/** What was drawn, as a geometry of the layer's kind; null while there are too few vertices. */
export function drawn(kind: string, points: readonly Position[]): Shape | null {
  const flat = points.every((point) => point.length > 2) ? points : points.map(([x = 0, y = 0]) => [x, y]);
  const plain = kind.replace(/^Multi/, "");
  const many = plain !== kind;
  if (plain === "Point" && flat.length >= 1) {
    const point = flat[0] as Position;
    return many ? { type: "MultiPoint", coordinates: [point] } : { type: "Point", coordinates: point };
  }
  if (plain === "LineString" && flat.length >= 2) {
    return many ? { type: "MultiLineString", coordinates: [[...flat]] } : { type: "LineString", coordinates: [...flat] };
  }
  if (plain === "Polygon" && flat.length >= 3) {
    const ring = [...flat, flat[0] as Position];
    return many ? { type: "MultiPolygon", coordinates: [[ring]] } : { type: "Polygon", coordinates: [ring] };
  }
  return null;
}

/** Metres along a line or around an area. */
export function lengthOf(shape: Shape): number {
  return segments(shape).reduce((sum, { a, b }) => sum + distance(a, b), 0);
}

/** Square metres; holes count less. */
export function areaOf(shape: Shape): number {
  if (!isRing(shape)) return 0;
  return runs(shape).reduce((sum, { path, run }) => {
    const [ox = 0, oy = 0] = run[0] ?? [];
    let twice = 0;
    for (let i = 1; i < run.length; i++) {
      const [ax = 0, ay = 0] = run[i - 1] ?? [];
      const [bx = 0, by = 0] = run[i] ?? [];
      twice += (ax - ox) * (by - oy) - (bx - ox) * (ay - oy);
    }
    return sum + (path[path.length - 1] === 0 ? 1 : -1) * Math.abs(twice / 2);
  }, 0);
}

export function distance(a: Position | XY, b: Position | XY): number {
  return Math.hypot((b[0] as number) - (a[0] as number), (b[1] as number) - (a[1] as number));
}

/** West, south, east, north of a geometry in its own CRS. */
export function boxOf(shape: Shape): [number, number, number, number] {
  const box: [number, number, number, number] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const { at } of vertices(shape)) {
    const [x = 0, y = 0] = at;
    box[0] = Math.min(box[0], x);
    box[1] = Math.min(box[1], y);
    box[2] = Math.max(box[2], x);
    box[3] = Math.max(box[3], y);
  }
  return box;
}

export function sameShape(a: Shape | null | undefined, b: Shape | null | undefined): boolean {
  return JSON.stringify(a ?? null) === JSON.stringify(b ?? null);
}

/**
 * Another height: of the vertex at the path, of every vertex without a path. A shape without heights gets the
 * same one everywhere, since a shape has them everywhere or nowhere; null takes them away.
 */
export function setHeight(shape: Shape, path: Path | null, height: number | null): Shape {
  if (height === null) return mapped(shape, ([x = 0, y = 0]) => [x, y]);
  const all = vertices(shape);
  const one = path !== null && all.every(({ at }) => at[2] !== undefined) ? path : null;
  if (one === null || shape.type === "Point") return mapped(shape, ([x = 0, y = 0]) => [x, y, height]);
  const changed = withRun(shape, one, (run, number) => {
    const next = run.map((vertex, index) => (index === number ? [vertex[0] as number, vertex[1] as number, height] : vertex));
    if (isRing(shape) && number === 0) next[next.length - 1] = next[0] as Position;
    return next;
  });
  return changed as Shape;
}
