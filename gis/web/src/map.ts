/** The map itself: the style made absolute, the worker from our own server, a view of the city. */
import { AttributionControl, Map as MapView, ScaleControl, setWorkerUrl, VectorTileSource } from "maplibre-gl";
import type { RequestParameters, SourceSpecification, StyleSpecification } from "maplibre-gl";
import workerUrl from "virtual:maplibre-worker";
import { wasAskedAhead } from "./ground.ts";
import type { View } from "./hash.ts";
import { absolute, loginHeaders } from "./server.ts";
import type { City } from "./types.ts";

/** Degrees beyond the city's extent that one may pan to. */
const MARGIN = 1.5;
const MAX_ZOOM = 22;

setWorkerUrl(workerUrl);

function absoluteSource(source: SourceSpecification): SourceSpecification {
  const copy = { ...source };
  if ("url" in copy && typeof copy.url === "string") copy.url = absolute(copy.url);
  if ("tiles" in copy && copy.tiles) copy.tiles = copy.tiles.map(absolute);
  return copy;
}

/** The style with every address absolute, as MapLibre's worker needs them. */
export function absoluteStyle(style: StyleSpecification): StyleSpecification {
  const sources = Object.entries(style.sources).map(([id, source]) => [id, absoluteSource(source)]);
  return {
    ...style,
    sources: Object.fromEntries(sources) as StyleSpecification["sources"],
    ...(style.glyphs ? { glyphs: absolute(style.glyphs) } : {}),
    ...(typeof style.sprite === "string" ? { sprite: absolute(style.sprite) } : {}),
  };
}

/** The view that the city's configuration gives. */
export function homeView(city: City): View {
  const [lon, lat, zoom] = city.view;
  return { lon, lat, zoom, bearing: 0, pitch: 0 };
}

/**
 * Tiles show whoever is logged in what is hidden from others; glyphs and icons are the same for all. What was asked for
 * a moment ago is taken from the browser's cache without another question (live.ts asks once it listens).
 */
function tileRequest(url: string): RequestParameters {
  return { url, headers: loginHeaders(url), ...(wasAskedAhead(url) ? { cache: "force-cache" } : {}) };
}

/** Raises when the browser has no WebGL 2. */
export function createMap(container: HTMLElement, style: StyleSpecification, city: City, view: View): MapView {
  const [west, south, east, north] = city.extent;
  const map = new MapView({
    container,
    style,
    center: [view.lon, view.lat],
    zoom: view.zoom,
    bearing: view.bearing,
    pitch: view.pitch,
    minZoom: 5,
    maxZoom: MAX_ZOOM,
    maxBounds: [west - MARGIN, south - MARGIN, east + MARGIN, north + MARGIN],
    renderWorldCopies: false,
    attributionControl: false,
    fadeDuration: 150,
    transformRequest: (url, type) => (type === "Tile" ? tileRequest(url) : { url }),
  });
  map.addControl(new ScaleControl({ unit: "metric", maxWidth: 120 }), "bottom-left");
  map.addControl(new AttributionControl({ compact: false }), "bottom-right");
  return map;
}

/**
 * Which layers' tiles a source asks for may have changed with the style: who logs in sees others. Sources that stay as
 * they are ask for nothing.
 */
export function takeSources(map: MapView, style: StyleSpecification): void {
  for (const [id, wanted] of Object.entries(style.sources)) {
    const source = map.getSource(id);
    if (wanted.type !== "vector" || !wanted.tiles || !(source instanceof VectorTileSource)) continue;
    if (source.tiles.join() !== wanted.tiles.join()) source.setTiles(wanted.tiles);
  }
}

/**
 * Has the server asked again for every vector tile on the map. Tiles are revalidated by their ETag, so
 * those that did not change cost a short answer each.
 */
export function refreshTiles(map: MapView): void {
  for (const [id, source] of Object.entries(map.getStyle().sources)) {
    if (source.type === "vector") map.refreshTiles(id);
  }
  drawWhenLoaded(map);
}

const LOOK_MS = 200;
const looking = new WeakMap<MapView, number>();

/**
 * Draws a frame when all tiles are here. MapLibre 6 draws none for tiles that turn out to be as they were, and says
 * that it is idle after a frame alone: the page would be busy for ever.
 */
function drawWhenLoaded(map: MapView): void {
  window.clearTimeout(looking.get(map));
  if (map.areTilesLoaded()) map.triggerRepaint();
  else looking.set(map, window.setTimeout(() => drawWhenLoaded(map), LOOK_MS));
}
