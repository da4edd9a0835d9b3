/** Underground mode: which layers lie in the ground, and their colours by depth of cover. Pure. */
import type { Layer } from "../types.ts";
import { ramp } from "./colours.ts";

/** Depth of cover, from the surface to the top of the asset (group `network` of the layer files). */
export const DEPTH = "depth_m";
/** Metres between the classes. Cables lie in the first two, water mains in the next, sewers below. */
export const DEPTHS = [0.7, 1, 1.5, 2.5, 4] as const;
export const UNKNOWN = "#7d8790";
const SURFACE = "#b6bec4";
const NOT_BURIED = ["aerial", "ground", "in_structure"];

export interface DepthClass {
  range: [number | null, number | null];
  colour: string;
}

export function depthClasses(onDark: boolean): DepthClass[] {
  return ramp(DEPTHS.length + 1, onDark).map((colour, i) => ({
    range: [DEPTHS[i - 1] ?? null, DEPTHS[i] ?? null],
    colour,
  }));
}

/** Whether features of the layer may lie in the ground, by its fields. */
export function isBuried(layer: Layer): boolean {
  return layer.fields.some(({ name }) => name === DEPTH || name === "bottom_level_m");
}

/** From which zoom on the layer's lines are coloured by depth; null when tiles never hold it. */
export function depthZoom(layer: Layer): number | null {
  if (layer.dimension !== 1) return null;
  return layer.fields.find(({ name }) => name === DEPTH)?.from_zoom ?? null;
}

/** The colour by depth; `own` is the layer's, for zooms at which tiles do not hold the depth. */
export function depthExpression(layer: Layer, own: unknown, onDark: boolean): unknown {
  const zoom = depthZoom(layer);
  if (zoom === null) return own;
  const [first, ...classes] = depthClasses(onDark);
  const step = ["step", ["get", DEPTH], first?.colour ?? UNKNOWN, ...classes.flatMap(({ range, colour }) => [range[0], colour])];
  const buried = ["!", ["in", ["get", "underground_status"], ["literal", NOT_BURIED]]];
  const colour = ["case", ["!", buried], SURFACE, ["has", DEPTH], step, UNKNOWN];
  return zoom > layer.tiles.min_zoom ? ["step", ["zoom"], own, zoom, colour] : colour;
}

/** How strongly a layer is drawn while the ground is looked into. */
export function depthFactor(layer: Layer, isBase: boolean): number {
  if (isBuried(layer)) return layer.dimension === 0 ? 0.75 : 1;
  if (isBase) return layer.dimension === 2 ? 0.45 : 0.35;
  return layer.dimension === 2 ? 0.15 : 0.25;
}
