/** Which layers are shown and how strongly; the one place that changes the map's style layers. */
import type { LayerSpecification, Map as MapView, StyleSpecification } from "maplibre-gl";
import type { PageLink } from "./hash.ts";
import { fadedProperties } from "./opacity.ts";
import { layerOf } from "./style-layer.ts";
import type { Catalogue, Layer, Sector } from "./types.ts";

const sectorKey = (id: string): string => `sector.${id}`;

export class LayerState {
  readonly layers = new Map<string, Layer>();
  readonly #sectorOf = new Map<string, Sector>();
  readonly #styles = new Map<string, LayerSpecification[]>();
  readonly #places = new Map<string, number>();
  readonly #defaults = new Set<string>();
  readonly #shown = new Set<string>();
  /** Percent by layer id or sector key; 100 is not stored. */
  readonly #opacity = new Map<string, number>();
  readonly #listeners = new Set<() => void>();
  #factors: ReadonlyMap<string, number> = new Map();
  #map: MapView | null = null;

  constructor(catalogue: Catalogue, style: StyleSpecification) {
    this.#read(catalogue, style);
    for (const id of this.#defaults) this.#shown.add(id);
  }

  /**
   * Another catalogue with its style: somebody logged in or out, who may see other layers. Those that come
   * are shown as they are by default; what was chosen for the others stays.
   */
  take(catalogue: Catalogue, style: StyleSpecification): void {
    const before = new Map(this.#styles);
    this.layers.clear();
    this.#sectorOf.clear();
    this.#styles.clear();
    this.#places.clear();
    this.#defaults.clear();
    this.#read(catalogue, style);
    for (const [id, specifications] of before) {
      if (this.layers.has(id)) continue;
      this.#shown.delete(id);
      for (const specification of specifications) this.#map?.removeLayer(specification.id);
    }
    let above: string | undefined;
    for (const specification of style.layers.toReversed()) {
      const id = layerOf(specification);
      if (id !== null && !before.has(id)) {
        this.#map?.addLayer(specification, above);
        if (this.#defaults.has(id)) this.#shown.add(id);
      }
      if (this.#map?.getLayer(specification.id)) above = specification.id;
    }
    for (const id of this.layers.keys()) if (!before.has(id)) this.#applyVisibility(id);
    this.#changed();
  }

  #read(catalogue: Catalogue, style: StyleSpecification): void {
    for (const [place, specification] of style.layers.entries()) {
      const id = layerOf(specification);
      if (id === null) continue;
      if (!this.#places.has(id)) this.#places.set(id, place);
      const specifications = this.#styles.get(id) ?? [];
      specifications.push(specification);
      this.#styles.set(id, specifications);
    }
    for (const sector of catalogue.sectors) {
      for (const layer of sector.layers) {
        this.layers.set(layer.id, layer);
        this.#sectorOf.set(layer.id, sector);
        const specifications = this.#styles.get(layer.id) ?? [];
        if (specifications.some((s) => s.layout?.visibility !== "none")) this.#defaults.add(layer.id);
      }
    }
  }

  sector(layer: string): Sector | undefined {
    return this.#sectorOf.get(layer);
  }

  isShown(layer: string): boolean {
    return this.#shown.has(layer);
  }

  layerOpacity(layer: string): number {
    return this.#opacity.get(layer) ?? 100;
  }

  sectorOpacity(sector: string): number {
    return this.#opacity.get(sectorKey(sector)) ?? 100;
  }

  /** Whether the layer is shown when a link says nothing about layers. */
  isDefault(layer: string): boolean {
    return this.#defaults.has(layer);
  }

  /** The style layers that draw a layer, as the server gave them. */
  specifications(layer: string): readonly LayerSpecification[] {
    return this.#styles.get(layer) ?? [];
  }

  /** The layer's place in the order of drawing that the style gives, its labels aside. */
  place(layer: string): number {
    return this.#places.get(layer) ?? 0;
  }

  /** Further factors of strength (0 to 1) by layer, which no slider shows: a base map or a mode fades them. */
  setFactors(factors: ReadonlyMap<string, number>): void {
    const before = this.#factors;
    this.#factors = factors;
    for (const id of this.layers.keys()) if (before.get(id) !== factors.get(id)) this.#applyOpacity(id);
  }

  /** Calls the listener after each change of what is shown or how strongly. */
  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  show(layers: Iterable<string>, shown: boolean): void {
    for (const id of layers) {
      if (!this.layers.has(id) || this.#shown.has(id) === shown) continue;
      if (shown) this.#shown.add(id);
      else this.#shown.delete(id);
      this.#applyVisibility(id);
    }
    this.#changed();
  }

  setLayerOpacity(layer: string, percent: number): void {
    this.#setOpacity(layer, percent, [layer]);
  }

  setSectorOpacity(sector: Sector, percent: number): void {
    this.#setOpacity(sectorKey(sector.id), percent, sector.layers.map((layer) => layer.id));
  }

  /** Takes over what a link says; what it does not say is as by default. */
  readLink(link: PageLink): void {
    const wanted = new Set(this.#defaults);
    if (link.layers && "shown" in link.layers) {
      wanted.clear();
      for (const id of link.layers.shown) wanted.add(id);
    } else {
      for (const id of link.layers?.hidden ?? []) wanted.delete(id);
    }
    this.#shown.clear();
    this.#opacity.clear();
    for (const id of wanted) if (this.layers.has(id)) this.#shown.add(id);
    for (const [key, percent] of Object.entries(link.opacity)) if (percent < 100) this.#opacity.set(key, percent);
    for (const id of this.layers.keys()) {
      this.#applyVisibility(id);
      this.#applyOpacity(id);
    }
    this.#changed();
  }

  /** What a link must say for the present state. */
  writeLink(): Pick<PageLink, "layers" | "opacity"> {
    const opacity = Object.fromEntries(this.#opacity);
    const hidden = [...this.#defaults].filter((id) => !this.#shown.has(id));
    const added = [...this.#shown].filter((id) => !this.#defaults.has(id));
    if (hidden.length === 0 && added.length === 0) return { opacity };
    if (added.length === 0 && hidden.length < this.#shown.size) return { layers: { hidden }, opacity };
    return { layers: { shown: [...this.#shown] }, opacity };
  }

  /** From now on the map follows. Call when its style is loaded. */
  attach(map: MapView): void {
    this.#map = map;
    for (const id of this.layers.keys()) {
      this.#applyVisibility(id);
      if (this.#factor(id) < 1) this.#applyOpacity(id);
    }
  }

  #setOpacity(key: string, percent: number, layers: readonly string[]): void {
    if (percent >= 100) this.#opacity.delete(key);
    else this.#opacity.set(key, Math.max(0, Math.round(percent)));
    for (const id of layers) this.#applyOpacity(id);
    this.#changed();
  }

  #factor(layer: string): number {
    const sector = this.#sectorOf.get(layer);
    const chosen = (this.layerOpacity(layer) / 100) * (sector ? this.sectorOpacity(sector.id) / 100 : 1);
    return chosen * (this.#factors.get(layer) ?? 1);
  }

  #applyVisibility(layer: string): void {
    const visibility = this.#shown.has(layer) ? "visible" : "none";
    for (const { id } of this.#styles.get(layer) ?? []) this.#map?.setLayoutProperty(id, "visibility", visibility);
  }

  #applyOpacity(layer: string): void {
    const factor = this.#factor(layer);
    for (const specification of this.#styles.get(layer) ?? []) {
      for (const [name, value] of fadedProperties(specification, factor)) {
        // The property's name is computed, so MapLibre's types cannot tell its value's type.
        this.#map?.setPaintProperty(specification.id, name as "fill-opacity", value as number);
      }
    }
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}
