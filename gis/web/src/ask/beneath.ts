/**
 * What lies under a point beside what is drawn there: features of layers that are hidden or begin at a nearer
 * zoom, and what is known of each (findings, versions, depth). Asked of the server when the card is open already.
 */
import type { PageContext } from "../context.ts";
import type { Beneath, Found } from "../identify.ts";
import { formatNumber, texts } from "../i18n.ts";
import { getJson } from "../server.ts";
import { TEXTS } from "./texts.ts";

const t = texts(TEXTS);
/** Pixels around the point, as for what is drawn. */
const PIXELS = 4;
/** Metres: from afar a few pixels are half a street. */
const [LEAST_M, MOST_M] = [0.3, 10];
/** Metres of the ground in a pixel at zoom 0, at the equator (tiles of 512 pixels). */
const PIXEL_M = 40_075_016.686 / 512;
/** From further away everything lies under a finger. */
export const FROM_ZOOM = 12;

export interface Known {
  layer: string;
  fid: number;
  asset_id: string;
  title: string;
  status: string | null;
  distance_m: number;
  depth_m: number | null;
  findings: number;
  versions: number;
}

export interface Answer {
  sectors: { id: string; features: Known[] }[];
  more: boolean;
}

/** Metres around a point that a click means. */
export function tolerance(zoom: number, lat: number): number {
  const metres = (PIXELS * PIXEL_M * Math.cos((lat * Math.PI) / 180)) / 2 ** zoom;
  return Math.min(MOST_M, Math.max(LEAST_M, metres));
}

const keyOf = (layer: string, fid: string | number): string => `${layer}/${fid}`;

export async function beneath(
  context: PageContext,
  [lon, lat]: [number, number],
  signal: AbortSignal,
): Promise<Beneath | null> {
  const zoom = context.map.getZoom();
  if (zoom < FROM_ZOOM) return null;
  const around = tolerance(zoom, lat).toFixed(2);
  const answer = await getJson<Answer>(`/identify?point=${lon.toFixed(8)},${lat.toFixed(8)}&tolerance=${around}`, signal);
  const all = answer.sectors.flatMap(({ features }) => features);
  const known = new Map(all.map((one) => [keyOf(one.layer, one.fid), one]));
  const found = all.flatMap((one): Found[] => {
    const layer = context.state.layers.get(one.layer);
    if (!layer) return [];
    const name = layer.label_field ?? "asset_id";
    return [{ layer, fid: String(one.fid), properties: { asset_id: one.asset_id, [name]: one.title } }];
  });
  return {
    found,
    more: answer.more ? () => t("moreUnder") : null,
    notes: ({ layer, fid }, drawn) => {
      const one = known.get(keyOf(layer.id, fid));
      const notes: string[] = [];
      if (!drawn) notes.push(t(context.state.isShown(layer.id) ? "notDrawn" : "hiddenLayer"));
      if (one && one.depth_m !== null) notes.push(t("depth", { depth: formatNumber(one.depth_m, 2) }));
      if (one && one.findings > 0) notes.push(t("findings", { count: formatNumber(one.findings, 0) }));
      if (one && one.versions > 1) notes.push(t("versions", { count: formatNumber(one.versions, 0) }));
      return notes;
    },
  };
}
