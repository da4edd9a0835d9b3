/** A finding on the map: its place, the features that it names, and what the mend would make of them. */
import type { Feature, Geometry } from "geojson";
import type { GeoJSONSource, Map as MapView } from "maplibre-gl";

const SOURCE = "bandoso-check";

export type Role = "place" | "feature" | "mend";

export function shaped(role: Role, geometry: Geometry): Feature {
  return { type: "Feature", properties: { role }, geometry };
}

/** What is to be seen; a map without its style shows it as soon as it can. */
let wanted: Feature[] = [];

export function drawFinding(map: MapView, features: Feature[]): void {
  wanted = features;
  const source = map.getSource<GeoJSONSource>(SOURCE);
  if (source) source.setData({ type: "FeatureCollection", features });
  else if (features.length > 0) addTo(map, features);
}

function addTo(map: MapView, features: Feature[]): void {
  try {
    map.addSource(SOURCE, { type: "geojson", data: { type: "FeatureCollection", features } });
  } catch {
    // A link opened the finding before the style is on the map.
    map.once("load", () => drawFinding(map, wanted));
    return;
  }
  const line = { "line-cap": "round", "line-join": "round" } as const;
  const is = (role: Role): ["==", ["get", string], string] => ["==", ["get", "role"], role];
  const point: ["==", ["geometry-type"], string] = ["==", ["geometry-type"], "Point"];
  map.addLayer({
    id: `${SOURCE}-feature`,
    type: "line",
    source: SOURCE,
    filter: ["all", is("feature"), ["!", point]],
    layout: line,
    paint: { "line-color": "#ff2d78", "line-width": 4, "line-opacity": 0.75 },
  });
  map.addLayer({
    id: `${SOURCE}-feature-point`,
    type: "circle",
    source: SOURCE,
    filter: ["all", is("feature"), point],
    paint: { "circle-radius": 11, "circle-opacity": 0, "circle-stroke-color": "#ff2d78", "circle-stroke-width": 3 },
  });
  map.addLayer({
    id: `${SOURCE}-mend`,
    type: "line",
    source: SOURCE,
    filter: ["all", is("mend"), ["!", point]],
    paint: { "line-color": "#14803c", "line-width": 3.5, "line-dasharray": [2, 1.5] },
  });
  map.addLayer({
    id: `${SOURCE}-mend-point`,
    type: "circle",
    source: SOURCE,
    filter: ["all", is("mend"), point],
    paint: { "circle-radius": 6, "circle-color": "#14803c", "circle-stroke-color": "#ffffff", "circle-stroke-width": 2 },
  });
  map.addLayer({
    id: `${SOURCE}-place`,
    type: "line",
    source: SOURCE,
    filter: ["all", is("place"), ["!", point]],
    layout: line,
    paint: { "line-color": "#d7191c", "line-width": 2.5 },
  });
  map.addLayer({
    id: `${SOURCE}-place-point`,
    type: "circle",
    source: SOURCE,
    filter: ["all", is("place"), point],
    paint: { "circle-radius": 18, "circle-opacity": 0, "circle-stroke-color": "#d7191c", "circle-stroke-width": 3 },
  });
}
