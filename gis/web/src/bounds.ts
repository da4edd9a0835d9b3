/** The box around a geometry. */
import type { Geometry } from "geojson";
import type { Box } from "./types.ts";

export function bounds(geometry: Geometry): Box {
  const box: Box = [Infinity, Infinity, -Infinity, -Infinity];
  const visit = (part: unknown): void => {
    if (!Array.isArray(part)) return;
    const [x, y] = part as unknown[];
    if (typeof x === "number" && typeof y === "number") {
      box[0] = Math.min(box[0], x);
      box[1] = Math.min(box[1], y);
      box[2] = Math.max(box[2], x);
      box[3] = Math.max(box[3], y);
    } else {
      part.forEach(visit);
    }
  };
  const each = (one: Geometry): void => {
    if (one.type === "GeometryCollection") one.geometries.forEach(each);
    else visit(one.coordinates);
  };
  each(geometry);
  return box;
}
