/** What is being edited: the chosen feature, what the pointer does, the pending changes, and saving them. */
import type { Position } from "geojson";
import type { MapMouseEvent, Subscription } from "maplibre-gl";
import type { PageContext } from "../context.ts";
import { featuresAt } from "../identify.ts";
import { language } from "../i18n.ts";
import { apiJson } from "../server.ts";
import type { Layer } from "../types.ts";
import { type Draft, newKey } from "./draft.ts";
import { distance, drawn, moveVertex, type Path, removeVertex, type Shape, vertexAt } from "./geometry.ts";
import { Ground } from "./ground.ts";
import { type Change, keyOf, Pending, type Properties, result, type Standing } from "./pending.ts";
import type { Conflict } from "./merge.ts";
import { type Judgement, Sender } from "./sender.ts";
import { nearestSegment, type Snap } from "./snap.ts";
import { Stage } from "./stage.ts";
import { defaults, type Schema } from "./values.ts";

/** Milliseconds that a click waits for what it may snap to. */
const PATIENCE = 3_000;
/** Metres between places that are one. */
const SAME_M = 0.0005;

export interface Chosen {
  layer: Layer;
  id: string;
  /** null of a new feature. */
  standing: Standing | null;
  schema: Schema;
  /** One may change it. */
  allowed: boolean;
}

export type Mode =
  | { kind: "rest" }
  /** Vertices are being placed. `done` takes the shape; without it, it becomes a new feature of the layer. */
  | { kind: "draw"; layer: Layer; geometry: string; points: Position[]; say: string; done?: (shape: Shape) => void }
  /** A place is wanted, such as where to split. */
  | { kind: "place"; say: string; done: (place: Position, snap: Snap | null) => void }
  /** A feature of the layer is wanted. */
  | { kind: "feature"; layer: string; say: string; done: (id: string) => void };

export class Editor {
  readonly context: PageContext;
  readonly ground: Ground;
  readonly stage: Stage;
  readonly pending: Pending;
  readonly draft: Draft;
  readonly sender: Sender;
  /** Layers that whoever is logged in may edit. */
  readonly layers: Layer[];
  mode: Mode = { kind: "rest" };
  chosen: Chosen | null = null;
  judgement: Judgement | null = null;
  /** A request is under way. */
  busy = false;
  readonly #schemas = new Map<string, Schema>();
  readonly #listeners = new Set<() => void>();
  readonly #trouble: (error: unknown) => void;
  #wanted = "";
  #reading = 0;
  /** Clicks that wait for what they may snap to, in their order; null: none does. */
  #waiting: Promise<void> | null = null;
  readonly #subscriptions: readonly Subscription[];

  constructor(context: PageContext, draft: Draft, trouble: (error: unknown) => void) {
    this.context = context;
    this.#trouble = trouble;
    this.draft = draft;
    this.ground = new Ground(context);
    this.pending = new Pending(draft.content.changes);
    this.stage = new Stage(context, this.ground, {
      shaped: (shape) => this.setShape(shape),
      selected: () => {
        for (const listener of this.#listeners) listener();
      },
    });
    this.sender = new Sender(this.pending, draft, this.ground.crs, () => this.#tell());
    const editable = new Set(context.session.me?.edit.map(({ layer }) => layer));
    this.layers = [...context.state.layers.values()].filter(({ id }) => editable.has(id));
    this.pending.onChange(() => {
      draft.set({ changes: this.pending.changes });
      this.judgement = null;
      this.#tell();
    });
    this.#subscriptions = [
      context.map.on("moveend", () => this.#readGround()),
      context.map.on("contextmenu", (event) => this.#held(event)),
    ];
    context.takeClicks((event) => this.#click(event));
    this.#tell();
  }

  end(): void {
    this.mode = { kind: "rest" }; // a click that waits is given up
    for (const one of this.#subscriptions) one.unsubscribe();
    window.clearTimeout(this.#reading);
    this.context.takeClicks(null);
    this.sender.end();
    this.ground.end();
    this.stage.end();
  }

  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  #tell(): void {
    const { chosen } = this;
    const sending = this.sender.outbox?.changes ?? [];
    this.stage.pending([...sending, ...this.pending.changes]);
    const shape = chosen ? this.shape(chosen) : null;
    const open = (chosen?.allowed ?? false) && this.mode.kind === "rest" && !this.isDeleted(chosen);
    this.stage.active(chosen && shape ? { layer: chosen.layer.id, id: chosen.id, shape, open } : null);
    for (const listener of this.#listeners) listener();
  }

  // --- the chosen feature ---------------------------------------------------------------------------

  properties(chosen: Chosen): Properties {
    const change = this.pending.get(chosen.layer.id, chosen.id);
    return change ? result(change).properties : (chosen.standing?.properties ?? {});
  }

  shape(chosen: Chosen): Shape | null {
    const change = this.pending.get(chosen.layer.id, chosen.id);
    return change ? result(change).geometry : (chosen.standing?.geometry ?? null);
  }

  isDeleted(chosen: Chosen | null): boolean {
    return chosen !== null && this.pending.get(chosen.layer.id, chosen.id)?.op === "delete";
  }

  async schema(layer: string): Promise<Schema> {
    const key = `${layer} ${language()}`;
    const known = this.#schemas.get(key);
    if (known) return known;
    const schema = await apiJson<Schema>(`/collections/${layer}/schema?f=json&lang=${language()}`);
    this.#schemas.set(key, schema);
    return schema;
  }

  /** Takes a feature up for editing: a new one by its name, or what stands, as the server has it exactly. */
  async choose(layerId: string, id: string): Promise<void> {
    const layer = this.context.state.layers.get(layerId);
    if (!layer) return;
    this.#wanted = `${layerId}/${id}`;
    const change = this.pending.get(layerId, id);
    try {
      const [schema, standing] = await Promise.all([
        this.schema(layerId),
        change ? change.base : this.ground.feature(layerId, id),
      ]);
      if (this.#wanted !== `${layerId}/${id}`) return;
      const locked = this.sender.outbox?.changes.some((one) => keyOf(one) === this.#wanted) ?? false;
      const allowed = !locked && (change?.op === "create" || this.context.session.mayEdit(layerId, standing?.properties["owner"]));
      this.chosen = { layer, id, standing, schema, allowed };
      this.#readGround();
      this.#tell();
    } catch (error) {
      this.#trouble(error);
    }
  }

  release(): void {
    this.#wanted = "";
    this.chosen = null;
    this.#tell();
  }

  #change(part: Partial<Change>): void {
    const { chosen } = this;
    if (!chosen?.allowed) return;
    this.pending.put([{ op: "update", layer: chosen.layer.id, id: chosen.id, base: chosen.standing, properties: {}, ...part }]);
  }

  setProperty(name: string, value: unknown): void {
    this.#change({ properties: { [name]: value } });
  }

  setShape(geometry: Shape): void {
    this.#change({ geometry });
  }

  deleteChosen(): void {
    const isNew = this.chosen?.standing === null;
    this.#change({ op: "delete" });
    if (isNew) this.release();
  }

  moveSelected(dx: number, dy: number): void {
    const { path } = this.stage;
    const shape = this.chosen && this.shape(this.chosen);
    const at = shape && path ? vertexAt(shape, path) : null;
    if (!shape || !path || !at) return;
    const round = (value: number): number => Math.round(value * 10_000) / 10_000;
    this.setShape(moveVertex(shape, path, [round((at[0] ?? 0) + dx), round((at[1] ?? 0) + dy)]));
  }

  removeSelected(): void {
    const { path } = this.stage;
    const shape = this.chosen && this.shape(this.chosen);
    const left = shape && path ? removeVertex(shape, path) : null;
    if (left) this.setShape(left);
  }

  select(path: Path | null): void {
    this.stage.select(path);
  }

  // --- what the pointer does --------------------------------------------------------------------------

  setMode(mode: Mode): void {
    this.mode = mode;
    if (mode.kind === "draw") {
      this.stage.drawing(mode.geometry, mode.points);
    } else this.stage.drawing(mode.kind === "place" ? "Point" : null);
    this.#readGround();
    this.#tell();
  }

  /** Begins a new feature. */
  draw(layer: Layer): void {
    this.release();
    // A layer of any geometry takes points: the simplest.
    const geometry = layer.dimension === -1 ? "Point" : layer.geometry;
    this.setMode({ kind: "draw", layer, geometry, points: [], say: "drawing" });
  }

  addPoint(place: Position): void {
    const { mode } = this;
    if (mode.kind !== "draw") return;
    this.setMode({ ...mode, points: [...mode.points, place] });
    if (mode.geometry.endsWith("Point")) void this.finish();
  }

  removePoint(): void {
    if (this.mode.kind === "draw") this.setMode({ ...this.mode, points: this.mode.points.slice(0, -1) });
  }

  /** What was drawn becomes a new feature, or goes to whom it was drawn for. */
  async finish(): Promise<void> {
    const { mode } = this;
    if (mode.kind !== "draw") return;
    const shape = drawn(mode.geometry, mode.points);
    if (!shape) return;
    this.setMode({ kind: "rest" });
    if (mode.done) {
      mode.done(shape);
      return;
    }
    try {
      const schema = await this.schema(mode.layer.id);
      const id = `new:${newKey().slice(0, 8)}`;
      const properties = defaults(schema);
      this.pending.put([{ op: "create", layer: mode.layer.id, id, base: null, properties, geometry: shape }]);
      await this.choose(mode.layer.id, id);
    } catch (error) {
      this.setMode(mode); // nothing that was drawn is lost
      this.#trouble(error);
    }
  }

  cancel(): void {
    this.setMode({ kind: "rest" });
  }

  #click(event: MapMouseEvent): void {
    const { justDragged } = this.stage;
    this.stage.justDragged = false;
    if (!this.stage.contacts.take(event.originalEvent) || justDragged) return;
    const { mode } = this;
    if (mode.kind === "draw" || mode.kind === "place") this.#once(mode.kind, () => this.#set(event));
    else this.#pick(event, mode.kind === "feature" ? mode : null);
  }

  /** A place was clicked at: a vertex, or what was asked for. */
  #set(event: MapMouseEvent): void {
    const { mode } = this;
    if (mode.kind === "draw") this.#drawAt(event, mode);
    else if (mode.kind === "place") {
      const place = this.stage.place(event);
      mode.done(place, this.stage.lastSnap);
    }
  }

  /**
   * Does what a click asks for once it is known what it may snap to: somebody quicker than the line would else set a
   * vertex beside the pipe that they see, and be told of a dangle.
   */
  #once(kind: Mode["kind"], act: () => void): void {
    const layer = this.#layerToSnap();
    const ready = !this.stage.snapping || layer === undefined || this.ground.covers(layer);
    if (this.#waiting === null && ready) {
      act();
      return;
    }
    const { snapping } = this.stage;
    const turn = (this.#waiting ?? Promise.resolve()).then(async () => {
      if (!ready) await this.#readNow(layer);
      if (this.mode.kind !== kind) return; // given up meanwhile
      const before = this.stage.snapping;
      this.stage.snapping = snapping; // as it was when the click was made
      act();
      this.stage.snapping = before;
    });
    this.#waiting = turn;
    void turn.finally(() => {
      if (this.#waiting === turn) this.#waiting = null;
    });
  }

  async #readNow(layer: string): Promise<void> {
    if (this.ground.covers(layer)) return;
    window.clearTimeout(this.#reading);
    this.stage.waits(true);
    let timer = 0;
    const patience = new Promise<void>((done) => (timer = window.setTimeout(done, PATIENCE)));
    await Promise.race([this.ground.read(layer), patience]);
    window.clearTimeout(timer);
    this.stage.waits(false);
  }

  #layerToSnap(): string | undefined {
    return this.mode.kind === "draw" ? this.mode.layer.id : this.chosen?.layer.id;
  }

  /** A vertex; on the last one (so by a double click, too) or on an area's first one, the end. */
  #drawAt(event: MapMouseEvent, { geometry, points }: Extract<Mode, { kind: "draw" }>): void {
    const last = points.at(-1);
    const place = this.stage.place(event);
    const again = last !== undefined && (this.stage.isOn(last, event) || distance(place, last) < SAME_M);
    const closes = geometry.endsWith("Polygon") && points.length > 2 && this.stage.isOn(points[0], event);
    if (closes || again) void this.finish();
    else this.addPoint(place);
  }

  /** A finger that rested: the place as it is, without snapping. */
  #held(event: MapMouseEvent): void {
    const { originalEvent } = event;
    // MapLibre tells of a finger that rests by an event that it makes itself; a mouse's second button is no matter.
    const finger = !originalEvent.isTrusted || (originalEvent instanceof PointerEvent && originalEvent.pointerType === "touch");
    if (!finger || this.stage.holding) return;
    const before = this.stage.snapping;
    this.stage.snapping = false;
    this.#click(event);
    this.stage.snapping = before;
  }

  #pick(event: MapMouseEvent, mode: Extract<Mode, { kind: "feature" }> | null): void {
    const pending = this.stage.pendingAt(event.point);
    if (pending && !mode) {
      const [layer = "", id = ""] = pending.split("/");
      void this.choose(layer, id);
      return;
    }
    const { map, state } = this.context;
    const touch = event.originalEvent instanceof PointerEvent && event.originalEvent.pointerType === "touch";
    const wanted = new Set(mode ? [mode.layer] : this.layers.map(({ id }) => id));
    const found = featuresAt(map, event.point, state.layers, touch).find(({ layer }) => wanted.has(layer.id));
    if (mode && found) mode.done(found.fid);
    else if (!mode && found) void this.choose(found.layer.id, found.fid);
    else if (!mode) this.release();
  }

  #readGround(): void {
    const layer = this.#layerToSnap();
    window.clearTimeout(this.#reading);
    if (layer === undefined) return;
    this.#reading = window.setTimeout(() => void this.ground.read(layer), 150);
  }

  // --- checking and saving ----------------------------------------------------------------------------

  async check(): Promise<void> {
    this.busy = true;
    this.#tell();
    const { changes } = this.pending;
    const judgement = await this.sender.check(changes);
    this.busy = false;
    // What was changed meanwhile was not judged.
    if (changes === this.pending.changes) this.judgement = judgement;
    this.#tell();
  }

  async save(): Promise<void> {
    const { comment, source } = this.draft.content;
    const { chosen } = this;
    this.release();
    await this.#settle(this.sender.save(comment.trim(), source.trim()));
    if (this.judgement?.kind !== "fine" && chosen) await this.choose(chosen.layer.id, chosen.id);
  }

  /** Goes on with what was not acknowledged when the page was closed. */
  async resume(): Promise<void> {
    if (this.sender.outbox) await this.#settle(this.sender.resume());
  }

  async #settle(work: Promise<Judgement>): Promise<void> {
    const judgement = await work;
    this.judgement = judgement;
    if (judgement.kind === "fine") {
      this.ground.forget();
      this.context.refreshTiles();
      this.context.status.say(this.savedText());
    }
    this.#tell();
  }

  /** A conflict was decided; the others are still to be. */
  settled(others: Conflict[]): void {
    this.judgement = others.length > 0 ? { kind: "conflict", conflicts: others } : null;
    // What is open may be based on another version now.
    const { chosen } = this;
    if (chosen) void this.choose(chosen.layer.id, chosen.id);
    this.#tell();
  }

  /** The line of these layers that passes through a place, within half a metre. */
  lineAt(at: readonly [number, number], layers: ReadonlySet<string>): { layer: string; id: string } | null {
    const lines = this.ground.targets.filter(({ layer }) => layers.has(layer));
    let best: { layer: string; id: string; distance: number } | null = null;
    for (const { layer, id, shape } of lines) {
      const found = nearestSegment(at, shape);
      if (found && found.distance <= 0.5 && (best === null || found.distance < best.distance)) best = { layer, id, distance: found.distance };
    }
    return best;
  }

  /** Set by the panel, which knows the words. */
  savedText: () => string = () => "";
}
