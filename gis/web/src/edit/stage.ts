/**
 * What editing draws on the map, and what the pointer does to it: handles of vertices, the line that is being
 * drawn, pending changes, and snapping with the distance beside the pointer.
 */
import type { Feature, Position } from "geojson";
import type { GeoJSONSource, MapMouseEvent, MapTouchEvent, Subscription } from "maplibre-gl";
import type { PageContext } from "../context.ts";
import { h } from "../dom.ts";
import { formatNumber, pick, texts } from "../i18n.ts";
import { insertVertex, moveVertex, type Path, samePath, segments, type Shape, vertices, vertexAt } from "./geometry.ts";
import type { Ground } from "./ground.ts";
import { type Change, keyOf, result } from "./pending.ts";
import { Contacts } from "./contacts.ts";
import { addStage, removeStage, SOURCE } from "./stage-style.ts";
import { type Snap, snap, target, type Target } from "./snap.ts";
import { TEXTS } from "./texts.ts";

const t = texts(TEXTS);

/** Pixels within which the pointer takes hold of a vertex, and within which it snaps. */
const HOLD = { mouse: 9, touch: 20 };
const REACH = { mouse: 13, touch: 24 };
/** Pixels within which a click is on a place that was drawn already. */
const SAME = { mouse: 6, touch: 14 };
/** Milliseconds that a finger rests before it moves without snapping. */
const LONG_PRESS = 600;
/** After drawing ended by a double click, whose second half is told of a moment later. */
const DOUBLE_CLICK = 500;

type Pointer = MapMouseEvent | MapTouchEvent;

export interface Active {
  layer: string;
  id: string;
  shape: Shape;
  /** Its vertices may be moved. */
  open: boolean;
}

export interface StageHost {
  /** A vertex was moved or added: the shape as it is now. */
  shaped(shape: Shape): void;
  selected(path: Path | null): void;
}

export class Stage {
  snapping = true;
  /** A pointer that went up just now moved a vertex: the click that follows is not for anybody. */
  justDragged = false;
  readonly contacts = new Contacts();
  readonly #context: PageContext;
  readonly #ground: Ground;
  readonly #host: StageHost;
  readonly #hint = h("div", { class: "edit-hint", hidden: true, "aria-hidden": "true" });
  #changes: readonly Change[] = [];
  #pendingTargets: Target[] = [];
  #hidden = new Set<string>();
  #active: Active | null = null;
  #path: Path | null = null;
  #line: readonly Position[] = [];
  #cursor: Position | null = null;
  #snap: Snap | null = null;
  #drag: { path: Path; shape: Shape; moved: boolean; at: number } | null = null;
  /** The kind of geometry that is being drawn; null: nothing. */
  #drawing: string | null = null;
  #frame = 0;
  #doubleClick = 0;
  readonly #subscriptions: readonly Subscription[];
  readonly #off = new AbortController();

  constructor(context: PageContext, ground: Ground, host: StageHost) {
    this.#context = context;
    this.#ground = ground;
    this.#host = host;
    const { map } = context;
    addStage(map);
    map.getContainer().append(this.#hint);
    this.#subscriptions = [
      map.on("mousedown", (event) => this.#begin(event)),
      map.on("touchstart", (event) => this.#begin(event)),
      map.on("mousemove", (event) => this.#follow(event)),
      map.on("touchmove", (event) => this.#follow(event)),
      map.on("mouseout", () => this.#clearCursor()),
    ];
    map.getCanvasContainer().addEventListener("pointerdown", (event) => this.contacts.begin(event), {
      capture: true,
      signal: this.#off.signal,
    });
    // Let go wherever: also on a panel, or beside the window.
    for (const type of ["mouseup", "touchend", "touchcancel"]) {
      window.addEventListener(type, () => this.#release(), { signal: this.#off.signal });
    }
  }

  end(): void {
    const { map } = this.#context;
    window.cancelAnimationFrame(this.#frame);
    window.clearTimeout(this.#doubleClick);
    map.doubleClickZoom.enable();
    for (const one of this.#subscriptions) one.unsubscribe();
    this.#off.abort();
    this.#hint.remove();
    removeStage(map);
  }

  pending(changes: readonly Change[]): void {
    this.#changes = changes;
    // What is pending is snapped to as it will be, and no longer as it stands.
    this.#hidden = new Set(changes.map(keyOf));
    this.#pendingTargets = changes.flatMap((change) => {
      const { geometry } = result(change);
      return geometry && change.op !== "delete" ? [target(change.layer, change.id, geometry)] : [];
    });
    this.#draw();
  }

  active(active: Active | null): void {
    const same = active && this.#active?.layer === active.layer && this.#active.id === active.id;
    if (!same) this.select(null);
    this.#active = active;
    if (this.#path && (!active || !vertexAt(active.shape, this.#path))) this.select(null);
    this.#draw();
  }

  select(path: Path | null): void {
    this.#path = path;
    this.#host.selected(path);
    this.#draw();
  }

  get path(): Path | null {
    return this.#path;
  }

  /** Shows what is being drawn; null: nothing is. */
  drawing(kind: string | null, points: readonly Position[] = []): void {
    if ((kind === null) !== (this.#drawing === null)) this.#zoomByDoubleClick(kind === null);
    this.#drawing = kind;
    this.#line = points;
    if (kind === null) this.#clearCursor();
    this.#draw();
  }

  /** The place of a pointer in metres, snapped unless that is switched off. */
  place(event: { lngLat: { lng: number; lat: number }; point: { x: number; y: number }; originalEvent?: Event }, skip?: Parameters<typeof snap>[3]): Position {
    const at = this.#ground.forward([event.lngLat.lng, event.lngLat.lat]);
    const original = event.originalEvent;
    const off = !this.snapping || (original instanceof MouseEvent && original.altKey) || (this.#drag && this.#rested());
    const touch = original !== undefined && isTouch(original);
    const reach = (touch ? REACH.touch : REACH.mouse) * this.#ground.metresPerPixel(event.point);
    this.#snap = off ? null : snap(at, this.#targets(), reach, skip);
    this.#say(event.point, at);
    return this.#snap?.at ?? at.map((value) => Math.round(value * 1000) / 1000);
  }

  /** Whether a click is on a place that was drawn already. */
  isOn(place: Position | undefined, { point, originalEvent }: MapMouseEvent): boolean {
    if (!place) return false;
    const pixel = this.#context.map.project(this.#ground.inverse(place));
    return Math.hypot(pixel.x - point.x, pixel.y - point.y) <= (isTouch(originalEvent) ? SAME.touch : SAME.mouse);
  }

  /** Not while something is drawn: two quick clicks, or taps, are two vertices or the end of the line. */
  #zoomByDoubleClick(on: boolean): void {
    const { doubleClickZoom } = this.#context.map;
    window.clearTimeout(this.#doubleClick);
    if (!on) doubleClickZoom.disable();
    else this.#doubleClick = window.setTimeout(() => doubleClickZoom.enable(), DOUBLE_CLICK);
  }

  /** The pending change that is drawn at a pixel, by its key. */
  pendingAt({ x, y }: { x: number; y: number }): string | null {
    const { map } = this.#context;
    const layers = ["point", "line", "fill"].map((id) => `${SOURCE}-${id}`).filter((id) => map.getLayer(id));
    const found = map.queryRenderedFeatures([[x - 5, y - 5], [x + 5, y + 5]], { layers });
    const keys = found.map(({ properties }) => properties["key"] as unknown).filter((key) => typeof key === "string");
    return keys[0] ?? null;
  }

  /** A click waits for what it may snap to. */
  waits(on: boolean): void {
    this.#context.map.getCanvas().style.cursor = on ? "progress" : "crosshair";
  }

  /** A vertex is held. */
  get holding(): boolean {
    return this.#drag !== null;
  }

  get lastSnap(): Snap | null {
    return this.#snap;
  }

  #targets(): Target[] {
    const standing = this.#ground.targets.filter((one) => !this.#hidden.has(keyOf(one)));
    return [...standing, ...this.#pendingTargets];
  }

  #rested(): boolean {
    return this.#drag !== null && this.#drag.at > 0 && !this.#drag.moved && Date.now() - this.#drag.at > LONG_PRESS;
  }

  /** The handle under the pointer: a vertex, or the middle of a segment. */
  #handle(event: Pointer): { path: Path; middle: Position | null } | null {
    if (!this.#active?.open || this.#drawing !== null) return null;
    const hold = isTouch(event.originalEvent) ? HOLD.touch : HOLD.mouse;
    let best: { path: Path; middle: Position | null; away: number } | null = null;
    const offer = (at: Position, path: Path, middle: Position | null, reach: number): void => {
      const point = this.#context.map.project(this.#ground.inverse(at));
      const away = Math.hypot(point.x - event.point.x, point.y - event.point.y);
      if (away <= reach && (best === null || away < best.away)) best = { path, middle, away };
    };
    for (const { path, at } of vertices(this.#active.shape)) offer(at, path, null, hold);
    if (best !== null) return best;
    for (const { path, a, b } of segments(this.#active.shape)) {
      const middle = middleOf(a, b);
      offer(middle, path, middle, hold - 2);
    }
    return best;
  }

  #begin(event: Pointer): void {
    this.justDragged = false;
    if ("touches" in event.originalEvent && event.originalEvent.touches.length > 1) return;
    const handle = this.#handle(event);
    if (!handle || !this.#active) return;
    event.preventDefault();
    let { shape } = this.#active;
    if (handle.middle) shape = insertVertex(shape, handle.path, handle.middle as [number, number]);
    this.#drag = { path: handle.path, shape, moved: handle.middle !== null, at: Date.now() };
    this.select(handle.path);
  }

  #follow(event: Pointer): void {
    if (this.#drag && this.#active) {
      const drag = this.#drag;
      const { layer, id } = this.#active;
      const rested = this.#rested();
      const before = this.snapping;
      if (rested) this.snapping = false;
      const [x = 0, y = 0] = this.place(event, { layer, id, path: drag.path });
      this.snapping = before;
      if (rested) drag.at = 0; // stays without snapping until it is let go
      this.#drag = { ...drag, moved: true, shape: moveVertex(drag.shape, drag.path, [x, y]) };
      this.#draw();
    } else if (this.#drawing !== null) {
      this.#cursor = this.place(event);
      this.#draw();
    } else {
      const handle = isTouch(event.originalEvent) ? null : this.#handle(event);
      this.#context.map.getCanvas().style.cursor = handle ? "move" : "crosshair";
    }
  }

  #release(): void {
    const drag = this.#drag;
    this.#drag = null;
    if (!drag) return;
    this.justDragged = true;
    this.#clearCursor();
    if (drag.moved) this.#host.shaped(drag.shape);
    this.#draw();
  }

  #clearCursor(): void {
    this.#cursor = null;
    this.#snap = null;
    this.#hint.hidden = true;
    this.#draw();
  }

  /** What the pointer would snap to, and how far it is from the last vertex. */
  #say(point: { x: number; y: number }, at: readonly number[]): void {
    const found = this.#snap;
    const place = found?.at ?? at;
    const last = this.#line[this.#line.length - 1] ?? this.#dragNeighbour();
    const parts: string[] = [];
    if (last) parts.push(`${formatNumber(Math.hypot((place[0] ?? 0) - (last[0] ?? 0), (place[1] ?? 0) - (last[1] ?? 0)), 2)} m`);
    if (found) {
      const layer = this.#context.state.layers.get(found.layer);
      parts.push(`${t(`snap_${found.kind}`)}: ${pick(layer?.title)} ${/^\d+$/.test(found.id) ? found.id : ""}`.trim());
    }
    this.#hint.textContent = parts.join(" · ");
    this.#hint.hidden = parts.length === 0;
    this.#hint.style.transform = `translate(${Math.round(point.x) + 16}px, ${Math.round(point.y) + 14}px)`;
  }

  #dragNeighbour(): Position | null {
    if (!this.#drag) return null;
    const before = this.#drag.path.with(-1, (this.#drag.path.at(-1) ?? 0) - 1);
    return this.#drag.path.length > 0 ? vertexAt(this.#drag.shape, before) : null;
  }

  /** Once a frame, however many events come. */
  #draw(): void {
    this.#frame ||= window.requestAnimationFrame(() => {
      this.#frame = 0;
      const source = this.#context.map.getSource<GeoJSONSource>(SOURCE);
      source?.setData({ type: "FeatureCollection", features: this.#features() });
    });
  }

  #features(): Feature[] {
    const found: Feature[] = [];
    const add = (role: string, shape: Shape, more: Record<string, unknown> = {}): void => {
      found.push({ type: "Feature", properties: { role, ...more }, geometry: this.#ground.onMap(shape) });
    };
    const activeKey = this.#active ? keyOf(this.#active) : "";
    for (const change of this.#changes) {
      const { geometry } = result(change);
      if (geometry && keyOf(change) !== activeKey) add(change.op, geometry, { key: keyOf(change) });
    }
    if (this.#active) {
      const shape = this.#drag?.shape ?? this.#active.shape;
      add("active", shape);
      if (this.#active.open) {
        for (const { a, b } of this.#drag ? [] : segments(shape)) add("middle", { type: "Point", coordinates: middleOf(a, b) });
        for (const { path, at } of vertices(shape)) {
          add("vertex", { type: "Point", coordinates: at }, { chosen: this.#path !== null && samePath(path, this.#path) });
        }
      }
    }
    const line = this.#cursor && this.#drawing !== null ? [...this.#line, this.#cursor] : this.#line;
    if (this.#drawing?.endsWith("Polygon") && line.length > 2) {
      add("draft", { type: "Polygon", coordinates: [[...line, line[0] as Position]] });
    } else if (line.length > 1 && !this.#drawing?.endsWith("Point")) {
      add("draft", { type: "LineString", coordinates: [...line] });
    }
    for (const at of this.#line) add("vertex", { type: "Point", coordinates: at });
    if (this.#snap) add("snap", { type: "Point", coordinates: this.#snap.at });
    return found;
  }
}

function middleOf(a: Position, b: Position): Position {
  return [((a[0] ?? 0) + (b[0] ?? 0)) / 2, ((a[1] ?? 0) + (b[1] ?? 0)) / 2];
}

function isTouch(event: Event): boolean {
  return event.type.startsWith("touch") || (event instanceof PointerEvent && event.pointerType === "touch");
}
