/** What stands around the place that is edited, exactly as the server has it; tiles are never asked. */
import type { Feature, FeatureCollection, Position } from "geojson";
import type { PageContext } from "../context.ts";
import { apiJson } from "../server.ts";
import { mapped, type Shape } from "./geometry.ts";
import type { Standing } from "./pending.ts";
import { target, type Target } from "./snap.ts";

/** More features than this are not looked at in one layer: one edits close to the ground. */
const MOST = 1_000;
const LEAST_ZOOM = 16;

/** West, south, east, north in degrees. */
type Box = [number, number, number, number];

export class Ground {
  readonly crs: string;
  readonly #context: PageContext;
  readonly #layers = new Map<string, { box: Box; targets: Target[] }>();
  #request: AbortController | null = null;
  #latest = Promise.resolve();

  constructor(context: PageContext) {
    this.#context = context;
    this.crs = `http://www.opengis.net/def/crs/EPSG/0/${context.catalogue.city.storage_crs}`;
  }

  /** WGS 84 degrees -> metres of the storage CRS. */
  forward([lon = 0, lat = 0]: Position): [number, number] {
    const { transforms, catalogue } = this.#context;
    const system = transforms.find(({ code }) => code === catalogue.city.storage_crs);
    return system ? system.forward([lon, lat]) : [lon, lat];
  }

  inverse([x = 0, y = 0]: Position): [number, number] {
    const { transforms, catalogue } = this.#context;
    const system = transforms.find(({ code }) => code === catalogue.city.storage_crs);
    return system ? system.inverse([x, y]) : [x, y];
  }

  /** A shape as the map draws it. */
  onMap(shape: Shape): Shape {
    return mapped(shape, (position) => this.inverse(position));
  }

  /** Metres that a pixel is wide at a place of the map. */
  metresPerPixel(point: { x: number; y: number }): number {
    const { map } = this.#context;
    const a = this.forward(map.unproject([point.x, point.y]).toArray());
    const b = this.forward(map.unproject([point.x + 10, point.y]).toArray());
    return Math.hypot(b[0] - a[0], b[1] - a[1]) / 10;
  }

  async feature(layer: string, fid: string): Promise<Standing> {
    const path = `/collections/${layer}/items/${encodeURIComponent(fid)}?crs=${encodeURIComponent(this.crs)}`;
    const { properties, geometry } = await apiJson<Feature>(path);
    const { version } = properties as { version: number };
    return { version, properties: properties ?? {}, geometry: geometry as Shape | null };
  }

  /** Layers that one snaps to when this one is edited: those of its sector that the map shows. */
  around(layer: string): string[] {
    const { state } = this.#context;
    const layers = state.sector(layer)?.layers ?? [];
    return layers.filter((one) => one.id === layer || (state.isShown(one.id) && one.count > 0)).map(({ id }) => id);
  }

  get targets(): Target[] {
    return [...this.#layers.values()].flatMap(({ targets }) => targets);
  }

  /** Whether all that one snaps to in view was read; from afar nothing is. */
  covers(layer: string): boolean {
    if (this.#context.map.getZoom() < LEAST_ZOOM) return true;
    const view = this.#view();
    return this.around(layer).every((id) => this.#holds(id, view));
  }

  #view(): Box {
    const bounds = this.#context.map.getBounds();
    return [bounds.getWest(), bounds.getSouth(), bounds.getEast(), bounds.getNorth()];
  }

  #holds(id: string, view: Box): boolean {
    const box = this.#layers.get(id)?.box;
    return box !== undefined && box[0] <= view[0] && box[1] <= view[1] && box[2] >= view[2] && box[3] >= view[3];
  }

  /**
   * Reads what stands in view, and ends with the last reading that was begun meanwhile. Quiet: without it nothing
   * is snapped to, and one may edit all the same.
   */
  async read(layer: string): Promise<void> {
    let latest = (this.#latest = this.#read(layer));
    await latest;
    while (latest !== this.#latest) await (latest = this.#latest);
  }

  async #read(layer: string): Promise<void> {
    const { map } = this.#context;
    this.#request?.abort();
    if (map.getZoom() < LEAST_ZOOM) {
      this.#layers.clear();
      return;
    }
    const request = new AbortController();
    this.#request = request;
    const view = this.#view();
    const wanted = this.around(layer);
    for (const id of this.#layers.keys()) if (!wanted.includes(id)) this.#layers.delete(id);
    await Promise.all(
      wanted.map(async (id) => {
        if (this.#holds(id, view)) return;
        const box: Box = [
          view[0] - (view[2] - view[0]) / 4,
          view[1] - (view[3] - view[1]) / 4,
          view[2] + (view[2] - view[0]) / 4,
          view[3] + (view[3] - view[1]) / 4,
        ];
        const query = new URLSearchParams({ bbox: box.join(","), crs: this.crs, limit: String(MOST), properties: "fid" });
        try {
          const found = await apiJson<FeatureCollection>(`/collections/${id}/items?${query}`, { signal: request.signal, ask: false });
          const targets = found.features
            .filter(({ geometry, id: fid }) => geometry !== null && fid !== undefined)
            .map(({ geometry, id: fid }) => target(id, String(fid), geometry as Shape));
          if (!request.signal.aborted) this.#layers.set(id, { box, targets });
        } catch (error) {
          if (!request.signal.aborted) console.warn(error);
        }
      }),
    );
  }

  /** What was read may have changed. */
  forget(): void {
    this.#layers.clear();
  }

  end(): void {
    this.#request?.abort();
  }
}
