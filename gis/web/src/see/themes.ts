/** Themes: sets of layers made from the catalogue's sectors, so that a new sector is a theme by itself. Pure. */
import type { LayerState } from "../layer-state.ts";
import type { Catalogue, Text } from "../types.ts";

export interface Theme {
  id: string;
  /** Null: the page has a text for it. */
  title: Text | null;
  colour: string;
  layers: ReadonlySet<string>;
}

export const ALL = "all";

/** All layers as they are by default, then each sector that is not ground, on the ground. */
export function themes(catalogue: Catalogue, state: Pick<LayerState, "isDefault">): Theme[] {
  const plain = (layers: readonly { id: string; kind?: string }[]): string[] =>
    layers.filter(({ kind }) => kind !== "raster").map(({ id }) => id);
  const defaults = catalogue.sectors.flatMap(({ layers }) => plain(layers)).filter((id) => state.isDefault(id));
  const base = catalogue.sectors.filter((sector) => sector.base).flatMap(({ layers }) => plain(layers));
  const ground = base.filter((id) => state.isDefault(id));
  const found: Theme[] = [{ id: ALL, title: null, colour: "", layers: new Set(defaults) }];
  for (const sector of catalogue.sectors) {
    const layers = plain(sector.layers);
    if (sector.base || layers.length === 0) continue;
    const own = layers.filter((id) => state.isDefault(id));
    const shown = new Set([...ground, ...(own.length > 0 ? own : layers)]);
    found.push({ id: sector.id, title: sector.title, colour: sector.colour, layers: shown });
  }
  return found;
}

/** The theme that is shown now, if what is shown is one. Rasters are no part of themes. */
export function themeShown(all: readonly Theme[], shown: ReadonlySet<string>): Theme | null {
  return all.find(({ layers }) => layers.size === shown.size && [...layers].every((id) => shown.has(id))) ?? null;
}
