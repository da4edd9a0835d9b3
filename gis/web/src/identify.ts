/** What lies under a click: finding it on the map, without the page around it. */
import type { MapGeoJSONFeature, Map as MapView, PointLike } from "maplibre-gl";
import { layerOf } from "./style-layer.ts";
import type { Layer } from "./types.ts";

/** A feature of a layer as its tile has it. */
export interface Found {
  layer: Layer;
  fid: string;
  properties: Record<string, unknown>;
}

/** What the server knows of a point beside what is drawn there. */
export interface Beneath {
  found: readonly Found[];
  /** Short remarks on a feature; `drawn`: it was found on the map. */
  notes(feature: Found, drawn: boolean): string[];
  /** Says that there is more than was told. */
  more: (() => string) | null;
}

/** Pixels around the click in which a line or a point counts as hit: a finger is blunter than a mouse. */
const TOLERANCE = { mouse: 4, touch: 12 };
/** More than a person reads; the card says how many were left out. */
export const MOST = 50;

/**
 * The features drawn at a pixel, topmost first, each once. Areas must hold the very point, lines and
 * points may pass by within a few pixels.
 */
export function featuresAt(
  map: MapView,
  point: { x: number; y: number },
  layers: ReadonlyMap<string, Layer>,
  touch: boolean,
): Found[] {
  const reach = touch ? TOLERANCE.touch : TOLERANCE.mouse;
  const box: [PointLike, PointLike] = [
    [point.x - reach, point.y - reach],
    [point.x + reach, point.y + reach],
  ];
  const around = map.queryRenderedFeatures(box).filter((feature) => !isArea(feature));
  const exact = map.queryRenderedFeatures([point.x, point.y]);
  // Until its tiles are made anew, a layer that was just hidden is still found.
  const hidden = (id: string): boolean => map.getLayoutProperty(id, "visibility") === "none";
  const found = new Map<string, Found>();
  for (const feature of [...around, ...exact]) {
    const layer = layers.get(layerOf(feature.layer) ?? "");
    if (!layer || feature.id === undefined || hidden(feature.layer.id)) continue;
    const fid = String(feature.id);
    const key = `${layer.id}/${fid}`;
    if (!found.has(key)) found.set(key, { layer, fid, properties: feature.properties });
  }
  return [...found.values()].sort((a, b) => rank(a.layer) - rank(b.layer));
}

function isArea(feature: MapGeoJSONFeature): boolean {
  return feature.geometry.type === "Polygon" || feature.geometry.type === "MultiPolygon";
}

/** Points are what a person aims at, then lines, then areas, which lie under nearly everything. */
function rank(layer: Layer): number {
  return layer.dimension === -1 ? 1.5 : layer.dimension;
}
