/** The map's letters, asked for early: the map itself asks for them once tiles have come, and draws these after. */
import type { StyleSpecification } from "maplibre-gl";

/** What Vietnamese is written with. */
const RANGES = ["0-255", "256-511", "7680-7935"];

/** Fonts that labels of the style are written in. Pure. */
export function fontsOf(style: StyleSpecification): string[] {
  const fonts = style.layers.map((layer) => (layer.type === "symbol" ? layer.layout?.["text-font"] : undefined));
  return [...new Set(fonts.flatMap((one) => (Array.isArray(one) && one.every((part) => typeof part === "string") ? [one.join(",")] : [])))];
}

/** Has the browser fetch them into its cache; that they cannot be had is for the map to say. */
export function prefetchGlyphs(style: StyleSpecification): void {
  const { glyphs } = style;
  if (!glyphs) return;
  for (const font of fontsOf(style)) {
    for (const range of RANGES) {
      // written as the map writes it, or it would be fetched twice
      const url = glyphs.replace("{fontstack}", font).replace("{range}", range);
      void fetch(new URL(url, window.location.origin), { priority: "low" }).catch(() => undefined);
    }
  }
}
