/**
 * Drawing a line, an area or a box on the map with mouse, finger or keyboard: each click adds a place, a
 * click on the last one (so a double click, too) ends it. A place is dragged elsewhere, while drawing and after. With
 * the map focused, Enter adds the middle of the view and Shift+Enter ends; Backspace takes the last place away, and
 * Ctrl+Z what was done last: a drag, or the last place.
 */
import type { Feature, Geometry } from "geojson";
import type { GeoJSONSource, Map as MapView, MapMouseEvent, MapTouchEvent, Subscription } from "maplibre-gl";
import type { PageContext } from "./context.ts";
import type { Position } from "./crs.ts";
import { h } from "./dom.ts";
import { MOST_PLACES } from "./polyline.ts";
import "./sketch.css";

export type Shape = "line" | "polygon" | "box";

/** Pixels within which a click is on a place that is there already; a finger is blunter. */
const REACH = { mouse: 6, touch: 14 };
/** Pixels within which a place is taken hold of, and from which on it is dragged and not clicked. */
const HOLD = { mouse: 9, touch: 20 };
const DRAG = 3;
const LEAST: Record<Shape, number> = { line: 2, polygon: 3, box: 2 };

type Pointer = MapMouseEvent | MapTouchEvent;

export interface SketchOptions {
  /** The name of its source on the map. */
  readonly id: string;
  readonly colour: string;
  /** Places, shape or cursor changed. */
  changed(): void;
  /** Whether `changed` is called all the while that a place is dragged, or once it is let go. */
  readonly live?: boolean;
  /** The text on the line from one place to the next. */
  label?(from: Position, to: Position): string;
}

/** The corners (not closed) of the box between two places. */
export function boxRing([a, b]: readonly Position[]): Position[] {
  if (!a || !b) return a ? [a] : [];
  return [a, [b[0], a[1]], b, [a[0], b[1]]];
}

export class Sketch {
  #points: Position[] = [];
  #shape: Shape;
  #done = false;
  #cursor: Position | null = null;
  /** The place that is held: its number, where it was, and where the pointer took hold of it. */
  #held: { at: number; from: Position; x: number; y: number; moved: boolean } | null = null;
  /** Drags that can be taken back: the number of the place, and where it was. */
  #drags: { at: number; from: Position }[] = [];
  readonly #context: PageContext;
  readonly #map: MapView;
  readonly #options: SketchOptions;
  readonly #cross = h("div", { class: "sketch-cross", "aria-hidden": "true" });
  readonly #off = new AbortController();
  readonly #subscriptions: readonly Subscription[];

  constructor(context: PageContext, shape: Shape, options: SketchOptions) {
    this.#context = context;
    this.#map = context.map;
    this.#shape = shape;
    this.#options = options;
    this.#subscriptions = [
      this.#map.on("mousedown", (event) => this.#hold(event)),
      this.#map.on("touchstart", (event) => this.#hold(event)),
      this.#map.on("mousemove", (event) => this.#moved(event)),
      this.#map.on("touchmove", (event) => this.#moved(event)),
      this.#map.on("mouseout", () => this.#left()),
    ];
    // Two quick clicks or taps are two places, or the end.
    this.#map.doubleClickZoom.disable();
    const { signal } = this.#off;
    // Let go wherever: also beside the map, or on a panel. (No pointerup: after a tap browsers tell of a mouse that
    // goes down and up, and of no pointer.)
    for (const type of ["mouseup", "touchend", "touchcancel"]) {
      window.addEventListener(type, () => this.#release(), { signal });
    }
    this.#map.getContainer().append(this.#cross);
    window.addEventListener("keydown", (event) => this.#key(event), { signal });
  }

  get shape(): Shape {
    return this.#shape;
  }

  /** The places that were set. */
  get points(): readonly Position[] {
    return this.#points;
  }

  get done(): boolean {
    return this.#done;
  }

  /** The places with the one under the cursor, while drawing. */
  get live(): readonly Position[] {
    const cursor = this.#done || this.#points.length === 0 ? null : this.#cursor;
    return cursor ? [...this.#points, cursor] : this.#points;
  }

  /** The ring or line that is drawn (a box with its four corners). */
  outline(live = false): readonly Position[] {
    const points = live ? this.live : this.#points;
    return this.#shape === "box" ? boxRing(points) : points;
  }

  /** Whether there are places enough for the shape. */
  get whole(): boolean {
    return this.#points.length >= LEAST[this.#shape];
  }

  /** Takes the map's clicks, and draws from the beginning or, with places, what was drawn before. */
  start(shape: Shape, points: readonly Position[] = [], done = points.length >= LEAST[shape]): void {
    this.#shape = shape;
    this.#points = points.slice(0, MOST_PLACES);
    this.#done = done;
    this.#cursor = null;
    [this.#held, this.#drags] = [null, []];
    this.#listen(!done);
    this.#changed();
  }

  add(place: Position): void {
    if (this.#done) this.start(this.#shape);
    if (this.#points.length >= MOST_PLACES) return;
    this.#points.push(place);
    this.#drags = [];
    if (this.#shape === "box" && this.#points.length === 2) this.finish();
    else this.#changed();
  }

  /** Takes the last place away; drawing goes on. */
  undo(): void {
    this.#points.pop();
    this.#drags = [];
    this.#done = false;
    this.#cursor = null;
    this.#listen(true);
    this.#changed();
  }

  finish(): void {
    if (!this.whole) return;
    this.#done = true;
    this.#listen(false);
    this.#changed();
  }

  /** Draws again, after the language or the coordinate system changed. */
  redraw(): void {
    this.#draw();
  }

  close(): void {
    this.#listen(false);
    this.#off.abort();
    this.#cross.remove();
    this.#map.doubleClickZoom.enable();
    for (const one of this.#subscriptions) one.unsubscribe();
    this.#points = [];
    this.#held = null;
    this.#done = false;
    this.#draw();
  }

  #listen(on: boolean): void {
    this.#map.getContainer().classList.toggle("sketching", on);
    this.#context.takeClicks(on ? (event) => this.#click(event) : null);
  }

  #click(event: MapMouseEvent): void {
    const reach = isTouch(event) ? REACH.touch : REACH.mouse;
    const on = (place: Position | undefined): boolean => place !== undefined && this.#away(place, event) <= reach;
    const first = this.#shape === "polygon" && this.#points.length >= 3 && on(this.#points[0]);
    if (on(this.#points.at(-1)) || first) this.finish();
    else this.add([event.lngLat.lng, event.lngLat.lat]);
  }

  /** Pixels from a place to the pointer. */
  #away(place: Position, { point: { x, y } }: Pointer): number {
    const pixel = this.#map.project({ lng: place[0], lat: place[1] });
    return Math.hypot(pixel.x - x, pixel.y - y);
  }

  /** The number of the place under the pointer: the nearest one; -1 when there is none. */
  #under(event: Pointer): number {
    let [found, least] = [-1, isTouch(event) ? HOLD.touch : HOLD.mouse];
    for (const [at, place] of this.#points.entries()) {
      const away = this.#away(place, event);
      if (away <= least) [found, least] = [at, away];
    }
    return found;
  }

  #hold(event: Pointer): void {
    const { originalEvent, point } = event;
    if ("touches" in originalEvent ? originalEvent.touches.length > 1 : originalEvent.button !== 0) return;
    const at = this.#under(event);
    const from = this.#points[at];
    if (!from) return;
    event.preventDefault(); // the map stays where it is
    this.#held = { at, from, x: point.x, y: point.y, moved: false };
  }

  #moved(event: Pointer): void {
    const place: Position = [event.lngLat.lng, event.lngLat.lat];
    const held = this.#held;
    if (held) {
      held.moved ||= Math.hypot(event.point.x - held.x, event.point.y - held.y) > DRAG;
      if (!held.moved) return;
      this.#points = this.#points.with(held.at, place);
      this.#cursor = null;
      if (this.#options.live) this.#changed();
      else this.#draw();
      return;
    }
    if (isTouch(event)) return;
    this.#map.getCanvas().style.cursor = this.#under(event) >= 0 ? "move" : "crosshair";
    if (this.#done || this.#points.length === 0) return;
    this.#cursor = place;
    this.#changed();
  }

  #release(): void {
    const held = this.#held;
    this.#held = null;
    if (!held?.moved) return;
    this.#drags.push({ at: held.at, from: held.from });
    this.#changed();
  }

  #left(): void {
    if (!this.#cursor) return;
    this.#cursor = null;
    this.#changed();
  }

  /** Takes the last drag back, or else the last place. */
  #takeBack(): void {
    const last = this.#drags.pop();
    if (!last) return this.undo();
    this.#points = this.#points.with(last.at, last.from);
    this.#changed();
  }

  #key(event: KeyboardEvent): void {
    const onMap = event.target === this.#map.getCanvas();
    const typing = event.target instanceof HTMLElement && event.target.matches("input, textarea, select");
    const back = event.key === "Backspace" || event.key === "Delete";
    const again = event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey) && !event.shiftKey;
    if (onMap && event.key === "Enter" && event.shiftKey) this.finish();
    else if (onMap && event.key === "Enter") {
      const { lng, lat } = this.#map.getCenter();
      this.add([lng, lat]);
    } else if (back && onMap && this.#points.length > 0) this.undo();
    else if (again && !typing && this.#points.length > 0) this.#takeBack();
    else return;
    event.preventDefault();
  }

  #changed(): void {
    this.#draw();
    this.#options.changed();
  }

  #draw(): void {
    const { id, label } = this.#options;
    const outline = this.outline(true);
    const features: Feature[] = this.#points.map((place, at) => point(place, { last: at === this.#points.length - 1 }));
    const closed = this.#shape !== "line" && outline.length >= 3;
    const line = closed ? [...outline, outline[0] as Position] : [...outline];
    if (line.length >= 2) features.push(feature({ type: "LineString", coordinates: line }));
    if (closed) features.push(feature({ type: "Polygon", coordinates: [line] }));
    if (label) {
      line.slice(1).forEach((to, at) => {
        const from = line[at] as Position;
        features.push(point([(from[0] + to[0]) / 2, (from[1] + to[1]) / 2], { label: label(from, to) }));
      });
    }
    const source = this.#map.getSource<GeoJSONSource>(id);
    if (source) source.setData({ type: "FeatureCollection", features });
    else if (features.length > 0) this.#addTo(features);
  }

  /** The source and its layers come with the first place, above everything that is there. */
  #addTo(features: Feature[]): void {
    const { id, colour } = this.#options;
    const map = this.#map;
    try {
      map.addSource(id, { type: "geojson", data: { type: "FeatureCollection", features } });
    } catch {
      // A link brought what is drawn before the style is on the map.
      map.once("load", () => this.#draw());
      return;
    }
    const only = (type: "Point" | "LineString" | "Polygon"): ["==", ["geometry-type"], string] => [
      "==",
      ["geometry-type"],
      type,
    ];
    map.addLayer({
      id: `${id}-fill`,
      type: "fill",
      source: id,
      filter: only("Polygon"),
      paint: { "fill-color": colour, "fill-opacity": 0.12 },
    });
    for (const [name, paint] of [
      ["casing", { "line-color": "#ffffff", "line-width": 5, "line-opacity": 0.85 }],
      ["line", { "line-color": colour, "line-width": 2.5 }],
    ] as const) {
      map.addLayer({
        id: `${id}-${name}`,
        type: "line",
        source: id,
        filter: only("LineString"),
        layout: { "line-cap": "round", "line-join": "round" },
        paint,
      });
    }
    map.addLayer({
      id: `${id}-point`,
      type: "circle",
      source: id,
      filter: ["all", only("Point"), ["!", ["has", "label"]]],
      paint: {
        "circle-radius": ["case", ["get", "last"], 6, 4.5],
        "circle-color": "#ffffff",
        "circle-stroke-color": colour,
        "circle-stroke-width": 2.5,
      },
    });
    map.addLayer({
      id: `${id}-label`,
      type: "symbol",
      source: id,
      filter: ["has", "label"],
      layout: {
        "text-field": ["get", "label"],
        "text-font": ["Be Vietnam Pro Bold"],
        "text-size": 12.5,
        "text-padding": 1,
      },
      paint: { "text-color": colour, "text-halo-color": "#ffffff", "text-halo-width": 2 },
    });
  }
}

function isTouch({ originalEvent }: Pointer): boolean {
  return "touches" in originalEvent || (originalEvent as PointerEvent).pointerType === "touch";
}

function feature(geometry: Geometry, properties: Record<string, string | boolean> = {}): Feature {
  return { type: "Feature", properties, geometry };
}

function point(coordinates: Position, properties: Record<string, string | boolean>): Feature {
  return feature({ type: "Point", coordinates }, properties);
}
