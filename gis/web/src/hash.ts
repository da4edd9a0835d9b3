/**
 * The part of the address after #: view, layers, opacity, language, coordinate system, chosen feature.
 *
 *   #map=14.5/10.779/106.722[/bearing/pitch]&lang=en&layers=a,b | hide=c&opacity=a:50,sector.water:70
 *   &crs=5899&feature=water_pipe/12&<what tools add, see link-parts.ts>
 *
 * Everything is optional. Layers are listed by id: those shown, or those hidden, whichever is shorter.
 * Unknown and broken parts are ignored, so an old link still opens.
 */
import { isLanguage } from "./i18n.ts";
import type { Language } from "./types.ts";

export interface View {
  zoom: number;
  lat: number;
  lon: number;
  bearing: number;
  pitch: number;
}

export interface PageLink {
  view?: View;
  language?: Language;
  /** Layers shown (exactly these) or hidden (all others as they are by default). */
  layers?: { shown: string[] } | { hidden: string[] };
  /** Percent by layer id, or by `sector.<id>`. */
  opacity: Record<string, number>;
  crs?: number;
  feature?: { layer: string; fid: string };
  /** What tools keep in the address, by their key. */
  parts?: Map<string, string>;
}

/** Names that are the page's own. */
const OWN = new Set(["map", "lang", "layers", "hide", "opacity", "crs", "feature"]);
const PART = /^[a-z][a-z_]{0,15}$/;
/** An address that is longer than browsers and mail programs carry is no link. */
const MOST_OF_A_PART = 1_500;

const ID = /^[a-z][a-z0-9_]{0,47}$/;

function parseView(text: string): View | undefined {
  const parts = text.split("/").map(Number);
  const [zoom, lat, lon, bearing = 0, pitch = 0] = parts;
  if (parts.length < 3 || parts.length > 5 || parts.some((part) => !Number.isFinite(part))) return undefined;
  if (zoom === undefined || lat === undefined || lon === undefined) return undefined;
  if (zoom < 0 || zoom > 24 || Math.abs(lat) > 85 || Math.abs(lon) > 180 || pitch < 0 || pitch > 85) return undefined;
  return { zoom, lat, lon, bearing, pitch };
}

function parseIds(text: string): string[] {
  return text.split(",").filter((id) => ID.test(id));
}

function parseOpacity(text: string): Record<string, number> {
  const opacity: Record<string, number> = {};
  for (const part of text.split(",")) {
    const [key = "", percent = ""] = part.split(":");
    const value = Number(percent);
    if (ID.test(key.replace(/^sector\./, "")) && percent !== "" && value >= 0 && value <= 100) opacity[key] = value;
  }
  return opacity;
}

export function parseHash(hash: string): PageLink {
  const parameters = new URLSearchParams(hash.replace(/^#/, ""));
  const link: PageLink = { opacity: parseOpacity(parameters.get("opacity") ?? "") };
  const view = parseView(parameters.get("map") ?? "");
  if (view) link.view = view;
  const language = parameters.get("lang");
  if (isLanguage(language)) link.language = language;
  const shown = parameters.get("layers");
  const hidden = parameters.get("hide");
  if (shown !== null) link.layers = { shown: parseIds(shown) };
  else if (hidden !== null) link.layers = { hidden: parseIds(hidden) };
  const crs = parameters.get("crs");
  if (crs && /^\d{1,6}$/.test(crs)) link.crs = Number(crs);
  const [layer = "", fid = ""] = (parameters.get("feature") ?? "").split("/");
  if (ID.test(layer) && /^\d{1,18}$/.test(fid)) link.feature = { layer, fid };
  const parts = new Map<string, string>();
  for (const [key, value] of parameters) {
    if (!OWN.has(key) && PART.test(key) && value.length <= MOST_OF_A_PART) parts.set(key, value);
  }
  if (parts.size > 0) link.parts = parts;
  return link;
}

export function formatHash(link: PageLink): string {
  const parts: string[] = [];
  if (link.view) {
    const { zoom, lat, lon, bearing, pitch } = link.view;
    // Six decimals of a degree are 0.1 m: finer than a pixel at every zoom the map allows but the last.
    const view = [zoom.toFixed(2), lat.toFixed(6), lon.toFixed(6)];
    if (bearing !== 0 || pitch !== 0) view.push(bearing.toFixed(1), pitch.toFixed(0));
    parts.push(`map=${view.join("/")}`);
  }
  if (link.language) parts.push(`lang=${link.language}`);
  if (link.layers) {
    parts.push("shown" in link.layers ? `layers=${link.layers.shown.join(",")}` : `hide=${link.layers.hidden.join(",")}`);
  }
  const opacity = Object.entries(link.opacity).map(([key, percent]) => `${key}:${percent}`);
  if (opacity.length > 0) parts.push(`opacity=${opacity.join(",")}`);
  if (link.crs !== undefined) parts.push(`crs=${link.crs}`);
  if (link.feature) parts.push(`feature=${link.feature.layer}/${link.feature.fid}`);
  for (const [key, value] of link.parts ?? []) parts.push(`${key}=${encodeURIComponent(value)}`);
  return `#${parts.join("&")}`;
}
