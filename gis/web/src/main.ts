/** Starts the page: language, catalogue and style, then the map with everything around it. */
import "./style.css";
import type { Map as MapView, StyleSpecification } from "maplibre-gl";
import { loadingScreen, failureScreen } from "./status.ts";
import { parseHash } from "./hash.ts";
import { lastChange } from "./changes.ts";
import { stageWidth } from "./embed.ts";
import { prefetchGlyphs } from "./glyphs.ts";
import { cityStyle, prefetchGround } from "./ground.ts";
import { isLanguage, language, onLanguage, setLanguage, t } from "./i18n.ts";
import { getJson } from "./server.ts";
import { session } from "./session.ts";
import type { Catalogue } from "./types.ts";

const LANGUAGE_KEY = "bandoso.language";
const FONTS_KEY = "bandoso.fonts";

/** For tests and for the curious: the map, and a promise that is kept when it is first drawn. */
interface Handle {
  map: MapView | null;
  ready: Promise<void>;
}

declare global {
  interface Window {
    bandoso: Handle;
  }
}

function storedLanguage(): string | null {
  try {
    return localStorage.getItem(LANGUAGE_KEY);
  } catch {
    return null; // storage is forbidden here; the language is then not remembered
  }
}

function rememberLanguage(): void {
  document.documentElement.lang = language();
  try {
    localStorage.setItem(LANGUAGE_KEY, language());
  } catch {
    // As above.
  }
}

/**
 * The letters of the page around the map. A first visit loads them after the map, which is waited for; later ones find
 * them in the browser's cache, and have them at once.
 */
async function loadFonts(drawn: Promise<void>): Promise<void> {
  let known = false;
  try {
    known = localStorage.getItem(FONTS_KEY) !== null;
    localStorage.setItem(FONTS_KEY, "1");
  } catch {
    // As above.
  }
  if (!known) await drawn;
  await import("./fonts.css");
}

function hasWebGl2(): boolean {
  return document.createElement("canvas").getContext("webgl2") !== null;
}

/** Has the first map's tiles and letters on their way while its code still comes: the line is never idle. */
function askAhead(style: StyleSpecification): void {
  const { center = [0, 0], zoom = 0 } = style;
  const view = parseHash(window.location.hash).view ?? { lon: center[0] ?? 0, lat: center[1] ?? 0, zoom };
  prefetchGlyphs(style);
  prefetchGround(style, view, stageWidth(), window.innerHeight);
}

async function start(root: HTMLElement, handle: Handle): Promise<void> {
  // The map's code is the larger part of the page, so it loads beside the catalogue and the style. Who is
  // logged in may see layers that others do not: that is known before they are asked for.
  const restored = session.restore();
  const [catalogue, { style, since }, { Page }] = await Promise.all([
    restored.then(() => getJson<Catalogue>("/catalogue")),
    restored.then(async () => {
      // Tiles are asked for after this is known: what is changed later is heard of.
      const [found, last] = await Promise.all([cityStyle(), lastChange()]);
      askAhead(found);
      return { style: found, since: last };
    }),
    import("./page.ts").catch(() => {
      throw new Error(t("serverDown"));
    }),
  ]);
  if (!hasWebGl2()) throw new Error(t("webglMissing"));
  const page = new Page(root, catalogue, style, since);
  handle.map = page.map;
  await page.drawn;
}

async function run(handle: Handle): Promise<void> {
  const root = document.querySelector<HTMLElement>("#app");
  if (!root) throw new Error("the page has no #app");
  const wanted = parseHash(window.location.hash).language ?? storedLanguage();
  if (isLanguage(wanted)) setLanguage(wanted);
  document.documentElement.lang = language();
  onLanguage(rememberLanguage);
  for (;;) {
    loadingScreen(root);
    try {
      await start(root, handle);
      return;
    } catch (error) {
      console.warn(error);
      await failureScreen(root, error instanceof Error ? error.message : String(error));
    }
  }
}

const handle: Handle = { map: null, ready: Promise.resolve() };
window.bandoso = handle;
handle.ready = run(handle);
void loadFonts(handle.ready).catch(console.warn);
