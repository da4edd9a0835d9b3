/** The style layers of what is being edited, above all others. */
import type { CircleLayerSpecification, ExpressionSpecification, Map as MapView } from "maplibre-gl";

export const SOURCE = "bandoso-edit";

const COLOUR: ExpressionSpecification = [
  "match",
  ["get", "role"],
  "create",
  "#1a9850",
  "update",
  "#d9730d",
  "delete",
  "#c1121f",
  "#1d6fe0",
];
const LINES: ExpressionSpecification = ["!=", ["geometry-type"], "Point"];
const role = (...names: string[]): ExpressionSpecification => ["in", ["get", "role"], ["literal", names]];

function circle(id: string, names: string[], paint: NonNullable<CircleLayerSpecification["paint"]>): CircleLayerSpecification {
  return { id: `${SOURCE}-${id}`, type: "circle", source: SOURCE, filter: ["all", ["==", ["geometry-type"], "Point"], role(...names)], paint };
}

/** Adds the (empty) source and its layers, if they are not there yet. */
export function addStage(map: MapView): void {
  if (map.getSource(SOURCE)) return;
  map.addSource(SOURCE, { type: "geojson", data: { type: "FeatureCollection", features: [] } });
  map.addLayer({
    id: `${SOURCE}-fill`,
    type: "fill",
    source: SOURCE,
    filter: ["==", ["geometry-type"], "Polygon"],
    paint: { "fill-color": COLOUR, "fill-opacity": 0.16 },
  });
  map.addLayer({
    id: `${SOURCE}-casing`,
    type: "line",
    source: SOURCE,
    filter: LINES,
    layout: { "line-cap": "round", "line-join": "round" },
    paint: { "line-color": "#ffffff", "line-width": 6, "line-opacity": 0.85 },
  });
  map.addLayer({
    id: `${SOURCE}-line`,
    type: "line",
    source: SOURCE,
    filter: LINES,
    layout: { "line-join": "round" },
    paint: {
      "line-color": COLOUR,
      "line-width": 3,
      "line-dasharray": ["match", ["get", "role"], "delete", ["literal", [1, 1.5]], "draft", ["literal", [2, 1]], ["literal", [1, 0]]],
    },
  });
  map.addLayer(
    circle("point", ["create", "update", "delete", "active"], {
      "circle-radius": 9,
      "circle-color": COLOUR,
      "circle-opacity": 0.25,
      "circle-stroke-color": COLOUR,
      "circle-stroke-width": 3,
    }),
  );
  map.addLayer(
    circle("middle", ["middle"], {
      "circle-radius": 4,
      "circle-color": "#ffffff",
      "circle-opacity": 0.8,
      "circle-stroke-color": "#1d6fe0",
      "circle-stroke-width": 1.2,
    }),
  );
  map.addLayer(
    circle("vertex", ["vertex"], {
      "circle-radius": ["case", ["boolean", ["get", "chosen"], false], 7, 5],
      "circle-color": ["case", ["boolean", ["get", "chosen"], false], "#ffd400", "#ffffff"],
      "circle-stroke-color": "#1d6fe0",
      "circle-stroke-width": 2.2,
    }),
  );
  map.addLayer(
    circle("snap", ["snap"], {
      "circle-radius": 9,
      "circle-opacity": 0,
      "circle-color": "#d6007f",
      "circle-stroke-color": "#d6007f",
      "circle-stroke-width": 2.5,
    }),
  );
}

export function removeStage(map: MapView): void {
  for (const id of ["snap", "vertex", "middle", "point", "line", "casing", "fill"]) {
    if (map.getLayer(`${SOURCE}-${id}`)) map.removeLayer(`${SOURCE}-${id}`);
  }
  if (map.getSource(SOURCE)) map.removeSource(SOURCE);
}
