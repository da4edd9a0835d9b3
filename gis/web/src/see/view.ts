/** How the reader wants to see the map: base map, filters, colours, order, underground; kept in the link. */
import type { FilterSpecification, LayerSpecification, Map as MapView } from "maplibre-gl";
import type { PageContext } from "../context.ts";
import type { Field, Layer } from "../types.ts";
import { colourExpression, type Colouring, readColours, writeColours } from "./colouring.ts";
import { recoloured, roleOf, type Tone, TONES } from "./colours.ts";
import { depthExpression, depthFactor } from "./depth.ts";
import { type Filter, filterExpression, readFilters, writeFilters } from "./filters.ts";
import { noticeOfFilters } from "./notice.ts";
import { type Move, moved, ordered, readMoves, writeMoves } from "./order.ts";
import { ALL, type Theme, themes, themeShown } from "./themes.ts";

/** The city's own base map; the other names are those of TONES, `none`, or the id of a raster layer. */
export const OWN_BASE = "city";
export const NO_BASE = "none";
/** Style layers that are colour bands and not features: where a point layer is coloured, its icons stand back. */
const ICON = /-icon$/;

type Paint = Record<string, unknown>;

export class SeeView {
  readonly #context: PageContext;
  readonly #listeners = new Set<() => void>();
  readonly #filters = new Map<string, Filter>();
  readonly #colours = new Map<string, Colouring>();
  #moves: Move[] = [];
  #base = OWN_BASE;
  #underground = false;
  /** What stands on the map other than in the server's style: style layer and property -> value as JSON. */
  readonly #applied = new Map<string, string>();
  #orderApplied = "";
  /** The background as the server's style has it. */
  #ownBackground: unknown;
  #scheduled = false;

  constructor(context: PageContext) {
    this.#context = context;
    const { link, state } = context;
    link.register("base", {
      read: (text) => this.setBase(text ?? OWN_BASE),
      write: () => (this.#base === OWN_BASE ? null : this.#base),
    });
    link.register("filter", {
      read: (text) => this.#take(this.#filters, readFilters(text)),
      write: () => writeFilters(this.#filters),
    });
    link.register("colour", {
      read: (text) => this.#take(this.#colours, readColours(text)),
      write: () => writeColours(this.#colours),
    });
    link.register("order", {
      read: (text) => {
        this.#moves = readMoves(text);
        this.#changed();
      },
      write: () => writeMoves(this.#moves),
    });
    link.register("under", {
      read: (text) => this.setUnderground(text === "1"),
      write: () => (this.#underground ? "1" : null),
    });
    link.register("theme", {
      read: (text) => {
        if (text !== null) this.showTheme(text);
      },
      write: () => {
        const theme = this.theme();
        return theme && theme.id !== ALL ? theme.id : null;
      },
    });
    state.onChange(() => this.#tell());
    const { map } = context;
    if (!map.getLayer("background")) map.once("load", () => this.#changed());
  }

  get base(): string {
    return this.#base;
  }

  get underground(): boolean {
    return this.#underground;
  }

  get tone(): Tone | null {
    return this.#base === "light" || this.#base === "dark" ? TONES[this.#base] : null;
  }

  get isDark(): boolean {
    return this.#base === "dark";
  }

  /** Layers that are pictures: aerial photographs, scanned sheets, terrain. */
  get rasters(): Layer[] {
    return [...this.#context.state.layers.values()].filter((layer) => layer.kind === "raster");
  }

  get themes(): Theme[] {
    return themes(this.#context.catalogue, this.#context.state);
  }

  /** The theme that is shown now, if what is shown is one. */
  theme(): Theme | null {
    const { state } = this.#context;
    const shown = [...state.layers.values()].filter(({ id, kind }) => kind !== "raster" && state.isShown(id));
    return themeShown(this.themes, new Set(shown.map(({ id }) => id)));
  }

  /** The layers of which something can be seen: shown, and not faded away. */
  get seen(): Layer[] {
    const { state } = this.#context;
    const factors = this.#factors();
    return [...state.layers.values()].filter(({ id }) => {
      const sector = state.sector(id);
      const strong = state.layerOpacity(id) > 0 && (!sector || state.sectorOpacity(sector.id) > 0);
      return state.isShown(id) && strong && (factors.get(id) ?? 1) > 0;
    });
  }

  filter(layer: string): Filter | null {
    return this.#filters.get(layer) ?? null;
  }

  colouring(layer: string): Colouring | null {
    return this.#colours.get(layer) ?? null;
  }

  get filtered(): string[] {
    return [...this.#filters.keys()];
  }

  /** All layers in the order of drawing, the lowest first. */
  get order(): string[] {
    return ordered(this.#defaultOrder(), this.#moves);
  }

  get isReordered(): boolean {
    return this.#moves.length > 0;
  }

  /** Calls the listener after each change of what is kept here, or of what is shown; returns how to stop. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  setBase(base: string): void {
    const { state } = this.#context;
    const rasters = this.rasters.map(({ id }) => id);
    const known = base === "light" || base === "dark" || base === NO_BASE || rasters.includes(base);
    const before = this.#base;
    this.#base = known ? base : OWN_BASE;
    if (rasters.includes(this.#base)) state.show([this.#base], true);
    if (before !== this.#base && rasters.includes(before)) state.show([before], false);
    this.#changed();
  }

  setUnderground(on: boolean): void {
    this.#underground = on;
    this.#changed();
  }

  showTheme(id: string): void {
    const theme = this.themes.find((one) => one.id === id);
    if (!theme) return;
    const { state } = this.#context;
    const plain = [...state.layers.values()].filter(({ kind }) => kind !== "raster").map((layer) => layer.id);
    state.show(plain.filter((layer) => !theme.layers.has(layer)), false);
    state.show(theme.layers, true);
  }

  setFilter(layer: string, filter: Filter | null): void {
    if (filter) this.#filters.set(layer, filter);
    else this.#filters.delete(layer);
    this.#changed();
  }

  setColouring(layer: string, colouring: Colouring | null): void {
    if (colouring) this.#colours.set(layer, colouring);
    else this.#colours.delete(layer);
    this.#changed();
  }

  /** Draws a layer directly above another one; beneath all when `below` is empty. */
  move(layer: string, below: string): void {
    this.#moves = moved(this.#moves, { layer, below });
    this.#changed();
  }

  resetOrder(): void {
    this.#moves = [];
    this.#changed();
  }

  /** A colour of a layer's legend as the base map shows it. */
  legendColour(layer: Layer, colour: string, kind: "line" | "fill" | "point"): string {
    const tone = this.tone;
    if (!tone) return colour;
    const role = kind === "fill" ? "area" : "line";
    const change = this.#isBase(layer.id) ? tone.ground(role) : tone.other(role);
    return change ? change(colour) : colour;
  }

  field(layer: Layer, name: string): Field | null {
    return layer.fields.find((field) => field.name === name) ?? null;
  }

  #take<T>(into: Map<string, T>, from: ReadonlyMap<string, T>): void {
    into.clear();
    for (const [layer, what] of from) if (this.#context.state.layers.has(layer)) into.set(layer, what);
    this.#changed();
  }

  #isBase(layer: string): boolean {
    return this.#context.state.sector(layer)?.base ?? false;
  }

  #defaultOrder(): string[] {
    const { state } = this.#context;
    const place = new Map<string, number>();
    // The style's own order: that of the map when nothing was moved, which no other tool changes.
    for (const layer of state.layers.keys()) place.set(layer, state.place(layer));
    return [...place.keys()].toSorted((a, b) => (place.get(a) ?? 0) - (place.get(b) ?? 0));
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  /** The map follows once for many changes: a link changes all at a time. */
  #changed(): void {
    this.#tell();
    this.#context.link.changed();
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#apply();
    });
  }

  #apply(): void {
    const { map, state } = this.#context;
    if (!map.getLayer("background")) return; // the style is on its way; its coming calls again
    this.#set(map, "background", "background-color", this.#background());
    state.setFactors(this.#factors());
    for (const layer of state.layers.values()) {
      for (const specification of state.specifications(layer.id)) this.#draw(map, layer, specification);
    }
    this.#reorder(map);
  }

  #background(): unknown {
    const { map } = this.#context;
    this.#ownBackground ??= map.getPaintProperty("background", "background-color");
    if (this.#base === NO_BASE) return "#ffffff";
    return this.tone?.background ?? this.#ownBackground;
  }

  #factors(): Map<string, number> {
    const factors = new Map<string, number>();
    const picture = this.#base !== OWN_BASE && this.#base !== NO_BASE && !this.tone;
    for (const layer of this.#context.state.layers.values()) {
      if (layer.kind === "raster") continue;
      const base = this.#isBase(layer.id);
      let factor = this.#underground ? depthFactor(layer, base) : 1;
      if (base && this.#base === NO_BASE) factor = 0;
      // A photograph shows the ground itself; the base map's names stay.
      if (base && picture && layer.dimension !== 0) factor *= layer.dimension === 2 ? 0 : 0.45;
      if (factor < 1) factors.set(layer.id, factor);
    }
    return factors;
  }

  #draw(map: MapView, layer: Layer, specification: LayerSpecification): void {
    if (!map.getLayer(specification.id)) return;
    const paint = ("paint" in specification ? specification.paint : undefined) as Paint | undefined;
    for (const [name, value] of Object.entries(paint ?? {})) {
      const role = roleOf(specification.type, name);
      if (role === null) continue;
      this.#set(map, specification.id, name, this.#colour(layer, specification, name, value));
    }
    this.#setFilter(map, layer, specification);
  }

  /** The colour of a style layer's property: chosen by attribute, by depth, or its own on this base map. */
  #colour(layer: Layer, { id, type }: LayerSpecification, name: string, value: unknown): unknown {
    const role = roleOf(type, name) ?? "line";
    const change = this.#isBase(layer.id) ? this.tone?.ground(role) : this.tone?.other(role);
    const own = change ? recoloured(value, change) : value;
    const far = /-far(-outline)?$/.test(id);
    if (far || (role !== "line" && role !== "area") || (layer.dimension === 2 && type === "line")) return own;
    const colouring = this.#colours.get(layer.id);
    const field = colouring && this.field(layer, colouring.field);
    if (colouring && field) return colourExpression(colouring, field, layer, own, this.isDark);
    return this.#underground ? depthExpression(layer, own, this.isDark) : own;
  }

  #set(map: MapView, id: string, name: string, value: unknown): void {
    const key = `${id}/${name}`;
    const json = JSON.stringify(value);
    if (this.#applied.get(key) === json) return;
    // Untouched until something is chosen: the server's own value need not be set.
    if (!this.#applied.has(key) && json === JSON.stringify(map.getPaintProperty(id, name as "fill-color"))) return;
    this.#applied.set(key, json);
    map.setPaintProperty(id, name as "fill-color", value as string);
  }

  #setFilter(map: MapView, layer: Layer, specification: LayerSpecification): void {
    const { id } = specification;
    const own = "filter" in specification ? specification.filter : undefined;
    const filter = this.#filters.get(layer.id);
    const chosen = filter ? filterExpression(filter, layer) : null;
    const behind = ICON.test(id) && this.#colours.has(layer.id);
    const parts = [own, chosen, behind ? ["literal", false] : null].filter((part) => part !== null && part !== undefined);
    const wanted = parts.length > 1 ? ["all", ...parts] : parts[0];
    const key = `${id}/filter`;
    const json = JSON.stringify(wanted) ?? "";
    if ((this.#applied.get(key) ?? JSON.stringify(own) ?? "") === json) return;
    this.#applied.set(key, json);
    map.setFilter(id, (wanted ?? null) as FilterSpecification | null);
  }

  /** Puts the style layers, labels excepted, in the order wanted; they lie beneath all labels. */
  #reorder(map: MapView): void {
    const order = this.order;
    const wanted = order.join();
    if (wanted === (this.#orderApplied || this.#defaultOrder().join())) return;
    this.#orderApplied = wanted;
    const { state } = this.#context;
    const isLabel = (id: string): boolean => id.endsWith("-label");
    const ids = order.flatMap((layer) => state.specifications(layer).map(({ id }) => id)).filter((id) => !isLabel(id));
    let above = map.getLayersOrder().find(isLabel);
    for (const id of ids.toReversed()) {
      if (!map.getLayer(id)) continue;
      map.moveLayer(id, above);
      above = id;
    }
  }
}

const views = new WeakMap<PageContext, SeeView>();

/** The page's view, made when it is first asked for; it registers its parts of the link. */
export function seeView(context: PageContext): SeeView {
  let view = views.get(context);
  if (!view) {
    view = new SeeView(context);
    views.set(context, view);
    noticeOfFilters(context, view);
  }
  return view;
}
