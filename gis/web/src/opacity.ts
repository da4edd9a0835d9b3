/** Fading a style layer: its own opacity values, multiplied by a factor. */
import type { LayerSpecification } from "maplibre-gl";

const PROPERTIES: Partial<Record<LayerSpecification["type"], readonly string[]>> = {
  fill: ["fill-opacity"],
  line: ["line-opacity"],
  circle: ["circle-opacity", "circle-stroke-opacity"],
  symbol: ["icon-opacity", "text-opacity"],
  raster: ["raster-opacity"],
  heatmap: ["heatmap-opacity"],
  "fill-extrusion": ["fill-extrusion-opacity"],
};

export type StyleValue = number | unknown[] | undefined;

/**
 * An opacity value times a factor. Zoom expressions must stay outermost in a style, so interpolate and
 * step expressions are multiplied at their outputs and not as a whole.
 */
export function scaleOpacity(value: StyleValue, factor: number): number | unknown[] {
  if (value === undefined) return factor;
  if (typeof value === "number") return value * factor;
  const [operator] = value;
  const scale = (output: unknown): unknown => scaleOpacity(output as StyleValue, factor);
  if (operator === "interpolate") {
    // ["interpolate", type, input, stop, output, stop, output, ...]
    return value.map((part, i) => (i >= 4 && i % 2 === 0 ? scale(part) : part));
  }
  if (operator === "step") {
    // ["step", input, output, stop, output, ...]
    return value.map((part, i) => (i >= 2 && i % 2 === 0 ? scale(part) : part));
  }
  return ["*", value, factor];
}

/** The opacity properties of a style layer with their values times the factor. */
export function fadedProperties(layer: LayerSpecification, factor: number): [name: string, value: number | unknown[]][] {
  const paint = ("paint" in layer ? layer.paint : undefined) as Record<string, StyleValue> | undefined;
  return (PROPERTIES[layer.type] ?? []).map((name) => [name, scaleOpacity(paint?.[name], factor)]);
}
