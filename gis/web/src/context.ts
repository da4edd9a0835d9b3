/** What the page gives to its tools: the map, what is known of the city, and places to show themselves. */
import type { Feature } from "geojson";
import type { Map as MapView, MapMouseEvent } from "maplibre-gl";
import type { Position, Transform } from "./crs.ts";
import type { Symbol } from "./dom.ts";
import type { Dock } from "./dock.ts";
import type { Found } from "./identify.ts";
import type { LayerState } from "./layer-state.ts";
import type { Icons } from "./legend.ts";
import type { LinkParts } from "./link-parts.ts";
import type { Session } from "./session.ts";
import type { Status } from "./status.ts";
import type { Box, Catalogue, Text } from "./types.ts";

export interface PageContext {
  readonly map: MapView;
  readonly catalogue: Catalogue;
  readonly state: LayerState;
  readonly status: Status;
  readonly icons: Icons;
  readonly dock: Dock;
  readonly link: LinkParts;
  readonly session: Session;
  /** The city's systems, the storage CRS first. */
  readonly transforms: readonly Transform[];
  /** The system that the reader chose under the map; undefined when the city has none to show. */
  transform(): Transform | undefined;
  /** Opens the card of a feature, wherever it is; with a zoom to it when asked. */
  openFeature(layer: string, fid: string | number, options?: { zoom?: boolean }): void;
  /** The feature whose card is open. */
  chosen(): Found | null;
  closeCard(): void;
  zoomTo(box: Box, maxZoom?: number): void;
  /** Goes to a place (longitude, latitude) and shows what lies there. */
  goTo(place: Position): void;
  /** The place that a text names, in degrees or in the chosen system; a sentence when there is none. */
  readPlace(text: string): Position | string;
  /**
   * The map's clicks go to the handler and not to the card; null gives them back. A tool that closes
   * gives them back.
   */
  takeClicks(handler: ((event: MapMouseEvent) => void) | null): void;
  /** Opens a tool of the toolbar by its id, as its button does. */
  openTool(id: string): Promise<void>;
  /** Has the tiles of these layers fetched again, past every cache: after an edit of one's own. */
  refreshTiles(): void;
}

/** An open tool: what stands in the dock, and what is to be done when it goes. */
export interface ToolPanel {
  readonly element: HTMLElement;
  /** The tool takes everything of its own off the map. */
  close(): void;
}

/** A tool of the toolbar. Its code is loaded when it is opened for the first time. */
export interface Tool {
  /** Also its name in the address (`tool=`). */
  readonly id: string;
  readonly symbol: Symbol;
  readonly title: Text;
  /** Whether it is offered; asked again when somebody logs in or out. Always, without it. */
  allowed?(context: PageContext): boolean;
  load(): Promise<{ open(context: PageContext): ToolPanel }>;
}

/** A button on the card of a feature. Its code is loaded when it is pressed. */
export interface FeatureAction {
  readonly id: string;
  readonly title: Text;
  allowed?(context: PageContext, feature: Found): boolean;
  run(context: PageContext, feature: Found, full: Feature): Promise<void>;
}
