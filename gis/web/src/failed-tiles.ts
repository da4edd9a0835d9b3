/** Tiles that could not be had, and loading exactly those again. */
import type { Map as MapView } from "maplibre-gl";
import { t } from "./i18n.ts";

interface TileAddress {
  x: number;
  y: number;
  z: number;
}

/** What MapLibre's error event holds beside the error, when a tile failed. */
interface TileError {
  error: object;
  sourceId?: string;
  tile?: { tileID?: { canonical?: TileAddress } };
}

export class FailedTiles {
  readonly #failed = new Map<string, TileAddress[]>();

  note(event: object): void {
    const { sourceId, tile } = event as TileError;
    const address = tile?.tileID?.canonical;
    if (sourceId === undefined || !address) return;
    const addresses = this.#failed.get(sourceId) ?? [];
    addresses.push({ x: address.x, y: address.y, z: address.z });
    this.#failed.set(sourceId, addresses);
  }

  /**
   * Loads them again. They are named one by one because MapLibre 6 leaves failed tiles loading for ever
   * when a whole source is refreshed (it takes them for requests that are still under way): before that, too.
   */
  retry(map: MapView): void {
    for (const [source, addresses] of this.#failed) map.refreshTiles(source, addresses);
    this.#failed.clear();
    map.triggerRepaint();
  }
}

/** Why a request of the map failed, as a sentence. */
export function reason(error: object): string {
  const status = "status" in error && typeof error.status === "number" ? error.status : 0;
  return status > 0 ? t("serverError", { status }) : t("serverDown");
}
