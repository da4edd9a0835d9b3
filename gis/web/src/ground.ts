/**
 * The city in two sources: the ground (streets, water, land cover, wards), a tenth of the bytes, and everything else.
 * On a slow line there is a map to look at long before the networks have come.
 */
import type { LayerSpecification, StyleSpecification } from "maplibre-gl";
import { absolute, getJson, loginHeaders } from "./server.ts";
import { layerOf } from "./style-layer.ts";

/** Id of the ground's source. */
export const GROUND = "ground";
const CITY = "city";

/**
 * The city's style with the ground's layers in a source of their own, which is asked for first. A style whose server
 * names no ground, or nothing else, stays as it is. Pure.
 */
export function inTwo(style: StyleSpecification): StyleSpecification {
  const city = style.sources[CITY];
  if (city?.type !== "vector" || !city.tiles) return style;
  const named = (style.metadata as Record<string, unknown> | undefined)?.["bandoso:ground"];
  const wanted = new Set(Array.isArray(named) ? named : []);
  const ofCity = (one: LayerSpecification): boolean => "source" in one && one.source === CITY;
  const drawn = new Set(style.layers.flatMap((one) => (ofCity(one) ? (layerOf(one) ?? []) : [])));
  const ground = [...drawn].filter((id) => wanted.has(id));
  const others = [...drawn].filter((id) => !wanted.has(id));
  if (ground.length === 0 || others.length === 0) return style;
  const { tiles } = city;
  const only = (ids: string[]): typeof city => ({ ...city, tiles: tiles.map((url) => `${url}?collections=${ids.join(",")}`) });
  const { [CITY]: _, ...rest } = style.sources;
  return {
    ...style,
    sources: { [GROUND]: only(ground), [CITY]: only(others), ...rest },
    layers: style.layers.map((one) =>
      ofCity(one) && wanted.has(layerOf(one)) ? ({ ...one, source: GROUND } as LayerSpecification) : one,
    ),
  };
}

/** Pixels of a vector tile's side where the zoom is whole. */
const SIDE = 512;
/** So many tiles cover any screen; a view tilted to the horizon needs more, which are far away. */
const MOST = 20;

/** Tiles of a level (z, x, y) that a view shows, those in the middle first; zoom may be between levels. Pure. */
export function tilesOf(
  view: { lon: number; lat: number; zoom: number },
  width: number,
  height: number,
  [first, last]: [number, number],
): [number, number, number][] {
  const z = Math.min(Math.floor(view.zoom), last);
  if (z < first) return [];
  const count = 2 ** z;
  const latitude = (view.lat * Math.PI) / 180;
  const x = ((view.lon + 180) / 360) * count;
  const y = (0.5 - Math.asinh(Math.tan(latitude)) / (2 * Math.PI)) * count;
  const side = SIDE * 2 ** (view.zoom - z);
  const found: [number, number, number][] = [];
  for (let column = Math.floor(x - width / 2 / side); column <= Math.floor(x + width / 2 / side); column += 1) {
    for (let row = Math.floor(y - height / 2 / side); row <= Math.floor(y + height / 2 / side); row += 1) {
      if (column >= 0 && row >= 0 && column < count && row < count) found.push([z, column, row]);
    }
  }
  const away = ([, column, row]: [number, number, number]): number => Math.hypot(column + 0.5 - x, row + 0.5 - y);
  return found.sort((one, other) => away(one) - away(other)).slice(0, MOST);
}

/** Addresses that were asked for ahead, and that the map has not asked for yet. */
const ahead = new Set<string>();

/** Whether an address was asked for ahead. True once: whoever asks again wants to know what is right by then. */
export function wasAskedAhead(url: string): boolean {
  return ahead.delete(url);
}

/**
 * Has the browser fetch the ground's tiles of a view into its cache, where the map finds them. That they cannot be had
 * is for the map to say.
 */
export function prefetchGround(
  style: StyleSpecification,
  view: { lon: number; lat: number; zoom: number },
  width: number,
  height: number,
): void {
  const source = style.sources[GROUND];
  const template = source?.type === "vector" ? source.tiles?.[0] : undefined;
  if (source?.type !== "vector" || template === undefined) return;
  for (const [z, x, y] of tilesOf(view, width, height, [source.minzoom ?? 0, source.maxzoom ?? 22])) {
    const url = absolute(template).replace("{z}", `${z}`).replace("{x}", `${x}`).replace("{y}", `${y}`);
    ahead.add(url);
    void fetch(url, { headers: loginHeaders(url) }).catch(() => ahead.delete(url));
  }
}

/** The style of all layers, as whoever asks may see them. */
export async function cityStyle(): Promise<StyleSpecification> {
  return inTwo(await getJson<StyleSpecification>("/styles/city"));
}
