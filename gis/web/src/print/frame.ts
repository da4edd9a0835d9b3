/** The part of the ground that a print shows, drawn on the map around its middle. */
import type { Polygon } from "geojson";
import type { GeoJSONSource, Map as MapView } from "maplibre-gl";
import type { Position, Transform } from "../crs.ts";

const SOURCE = "bandoso-print";
/** Places on each side of the frame: its sides are straight in the city's grid, and nearly so on the map. */
const STEPS = 8;

/** The ring (longitude, latitude; closed) of a box of so many metres in the grid around a place. Pure. */
export function frameRing(transform: Transform, centre: Position, width: number, height: number): Position[] {
  const [x, y] = transform.forward(centre);
  const corners: Position[] = [
    [x - width / 2, y - height / 2],
    [x + width / 2, y - height / 2],
    [x + width / 2, y + height / 2],
    [x - width / 2, y + height / 2],
  ];
  const ring: Position[] = [];
  corners.forEach((from, index) => {
    const to = corners[(index + 1) % 4] as Position;
    for (let step = 0; step < STEPS; step += 1) {
      const part = step / STEPS;
      ring.push(transform.inverse([from[0] + (to[0] - from[0]) * part, from[1] + (to[1] - from[1]) * part]));
    }
  });
  ring.push(ring[0] as Position);
  return ring;
}

/** Everything but the frame is veiled. */
function veil(ring: Position[]): Polygon {
  const world: Position[] = [
    [-180, -85],
    [180, -85],
    [180, 85],
    [-180, 85],
    [-180, -85],
  ];
  return { type: "Polygon", coordinates: [world, [...ring].reverse()] };
}

export class Frame {
  readonly #map: MapView;

  constructor(map: MapView) {
    this.#map = map;
  }

  show(ring: Position[]): void {
    const data = {
      type: "FeatureCollection" as const,
      features: [
        { type: "Feature" as const, properties: { kind: "veil" }, geometry: veil(ring) },
        { type: "Feature" as const, properties: { kind: "line" }, geometry: { type: "LineString" as const, coordinates: ring } },
      ],
    };
    const source = this.#map.getSource<GeoJSONSource>(SOURCE);
    if (source) {
      void source.setData(data);
      return;
    }
    this.#map.addSource(SOURCE, { type: "geojson", data });
    this.#map.addLayer({
      id: `${SOURCE}-veil`,
      type: "fill",
      source: SOURCE,
      filter: ["==", ["get", "kind"], "veil"],
      paint: { "fill-color": "#0f2d41", "fill-opacity": 0.28, "fill-antialias": false },
    });
    this.#map.addLayer({
      id: `${SOURCE}-line`,
      type: "line",
      source: SOURCE,
      filter: ["==", ["get", "kind"], "line"],
      paint: { "line-color": "#0f3d5c", "line-width": 2.5 },
    });
  }

  remove(): void {
    for (const id of [`${SOURCE}-veil`, `${SOURCE}-line`]) if (this.#map.getLayer(id)) this.#map.removeLayer(id);
    if (this.#map.getSource(SOURCE)) this.#map.removeSource(SOURCE);
  }
}
