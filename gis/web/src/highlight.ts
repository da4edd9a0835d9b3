/** The chosen feature and the clicked point, drawn above all layers. */
import type { Feature, Geometry } from "geojson";
import type { GeoJSONSource, Map as MapView } from "maplibre-gl";

const SOURCE = "bandoso-chosen";
const COLOUR = "#ff2d78";

/** Adds the (empty) source and its layers. Call once, when the style is loaded. */
export function addHighlight(map: MapView): void {
  map.addSource(SOURCE, { type: "geojson", data: { type: "FeatureCollection", features: [] } });
  map.addLayer({
    id: `${SOURCE}-fill`,
    type: "fill",
    source: SOURCE,
    filter: ["==", ["geometry-type"], "Polygon"],
    paint: { "fill-color": COLOUR, "fill-opacity": 0.18 },
  });
  map.addLayer({
    id: `${SOURCE}-casing`,
    type: "line",
    source: SOURCE,
    filter: ["!=", ["geometry-type"], "Point"],
    layout: { "line-cap": "round", "line-join": "round" },
    paint: { "line-color": "#ffffff", "line-width": 7, "line-opacity": 0.9 },
  });
  map.addLayer({
    id: `${SOURCE}-line`,
    type: "line",
    source: SOURCE,
    filter: ["!=", ["geometry-type"], "Point"],
    layout: { "line-cap": "round", "line-join": "round" },
    paint: { "line-color": COLOUR, "line-width": 3.5 },
  });
  map.addLayer({
    id: `${SOURCE}-point`,
    type: "circle",
    source: SOURCE,
    filter: ["all", ["==", ["geometry-type"], "Point"], ["!", ["has", "clicked"]]],
    paint: {
      "circle-radius": 13,
      "circle-color": COLOUR,
      "circle-opacity": 0.12,
      "circle-stroke-color": COLOUR,
      "circle-stroke-width": 3,
    },
  });
  map.addLayer({
    id: `${SOURCE}-click`,
    type: "circle",
    source: SOURCE,
    filter: ["has", "clicked"],
    paint: {
      "circle-radius": 4,
      "circle-color": "#ffffff",
      "circle-stroke-color": "#0f3d5c",
      "circle-stroke-width": 2.5,
    },
  });
}

/** Shows these and nothing else; both null clears. */
export function setHighlight(map: MapView, geometry: Geometry | null, clicked: [number, number] | null): void {
  const features: Feature[] = [];
  if (geometry) features.push({ type: "Feature", properties: {}, geometry });
  // The ring around a chosen point says where it is; a dot on top would hide its symbol.
  const isPoint = geometry?.type === "Point" || geometry?.type === "MultiPoint";
  if (clicked && !isPoint) {
    features.push({ type: "Feature", properties: { clicked: true }, geometry: { type: "Point", coordinates: clicked } });
  }
  map.getSource<GeoJSONSource>(SOURCE)?.setData({ type: "FeatureCollection", features });
}
