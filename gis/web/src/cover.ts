/**
 * How much of the map lies under what stands on it. The map is told (its padding), so that its middle, what is gone
 * to and what is drawn by keyboard are in the part that one sees.
 */
import type { Map as MapView } from "maplibre-gl";
import type { Position } from "./crs.ts";
import type { Box } from "./types.ts";

type Edges = Pick<DOMRect, "left" | "top" | "right" | "bottom">;

/** Wider than this share of the map, a panel leaves room above it and not beside it. */
const WIDE = 0.6;
/** The least that is left of the map, in pixels, however much stands on it. */
const LEAST = 80;
/** Pixels around what is gone to, where there is room. */
const MARGIN = 60;
const SIDES = ["top", "bottom", "left", "right"] as const;
type Covered = Record<(typeof SIDES)[number], number>;

export interface Panel {
  readonly edges: Edges;
  /** Pixels that it may grow to in height: the map does not move whenever a panel below it grows. */
  readonly most?: number;
}

/**
 * Pixels of the map at each side that panels cover: at the right, or below where a panel is nearly as wide as the map.
 * There the bars above the map count too, since little is left between them. Pure.
 */
export function cover(map: Edges, panels: readonly Panel[], bars: readonly Edges[] = []): Covered {
  const found = { top: 0, bottom: 0, left: 0, right: 0 };
  const [width, height] = [map.right - map.left, map.bottom - map.top];
  for (const { edges, most } of panels) {
    if (edges.right - edges.left <= width * WIDE) {
      found.right = Math.max(found.right, map.right - edges.left);
      continue;
    }
    found.bottom = Math.max(found.bottom, map.bottom - (most === undefined ? edges.top : edges.bottom - most));
    for (const bar of bars) found.top = Math.max(found.top, bar.bottom - map.top);
  }
  found.right = Math.max(0, Math.min(found.right, width - LEAST));
  found.bottom = Math.max(0, Math.min(found.bottom, height - LEAST));
  found.top = Math.max(0, Math.min(found.top, height - LEAST - found.bottom));
  return found;
}

function shown(elements: readonly HTMLElement[]): HTMLElement[] {
  return elements.filter((one) => one.offsetWidth > 0);
}

function coverOf(map: MapView, panels: readonly HTMLElement[], bars: readonly HTMLElement[] = []): Covered {
  return cover(
    map.getContainer().getBoundingClientRect(),
    shown(panels).map((element) => {
      // `--sheet: 60%` of a panel that comes from below (style.css)
      const share = Number.parseFloat(getComputedStyle(element).getPropertyValue("--sheet")) / 100;
      const most = share * (element.offsetParent?.clientHeight ?? 0);
      return { edges: element.getBoundingClientRect(), ...(most > 0 ? { most } : {}) };
    }),
    shown(bars).map((element) => element.getBoundingClientRect()),
  );
}

/**
 * Keeps the map's padding at what the panels cover. Returns what to call when one comes or goes; that one grows or
 * that the window changes is seen by itself.
 */
export function keepClear(map: MapView, panels: readonly HTMLElement[], bars: readonly HTMLElement[]): () => void {
  const container = map.getContainer();
  const update = (): void => {
    const before = map.getPadding();
    const now = coverOf(map, panels, bars);
    if (SIDES.every((side) => (before[side] ?? 0) === now[side])) return;
    for (const side of SIDES) container.style.setProperty(`--cover-${side}`, `${now[side]}px`);
    map.setPadding(now);
  };
  const observer = new ResizeObserver(update);
  for (const element of [container, ...panels]) observer.observe(element);
  return update;
}

/** What to leave around a place that is gone to, beside the map's padding: for more panels, and a margin. */
export function roomAround(map: MapView, panels: readonly HTMLElement[]): Covered {
  const { clientWidth, clientHeight } = map.getContainer();
  const before = map.getPadding();
  const covered = coverOf(map, panels);
  const most = { ...covered };
  for (const side of SIDES) most[side] = Math.max(covered[side], before[side] ?? 0);
  const across = Math.min(MARGIN, (clientWidth - most.left - most.right) / 4);
  const down = Math.min(MARGIN, (clientHeight - most.top - most.bottom) / 4);
  for (const side of SIDES) {
    most[side] += (side === "left" || side === "right" ? across : down) - (before[side] ?? 0);
  }
  return most;
}

/** Moves the map if a place on it lies under a panel. */
export function bringOut(map: MapView, [lng, lat]: Position, panels: readonly HTMLElement[]): void {
  const { clientWidth, clientHeight } = map.getContainer();
  const covered = coverOf(map, panels);
  const { x, y } = map.project({ lng, lat });
  const across = x > covered.left && x < clientWidth - covered.right;
  if (across && y > covered.top && y < clientHeight - covered.bottom) return;
  const padding = roomAround(map, panels);
  map.fitBounds([lng, lat, lng, lat], { padding, maxZoom: map.getZoom(), duration: 300 });
}

/** The part of the map that one sees, in its own pixels: left, top, right, bottom. */
export function visiblePart(map: MapView): Box {
  const { clientWidth, clientHeight } = map.getContainer();
  const { top = 0, bottom = 0, left = 0, right = 0 } = map.getPadding();
  return [left, top, clientWidth - right, clientHeight - bottom];
}

/** West, south, east, north of what one sees of the map. */
export function visibleBox(map: MapView): Box {
  return boxOf(map, visiblePart(map));
}

/** West, south, east, north of a map of this size around the same middle: as a link shows it, with nothing open. */
export function wholeBox(map: MapView): Box {
  const { clientWidth, clientHeight } = map.getContainer();
  const { x, y } = map.project(map.getCenter());
  return boxOf(map, [x - clientWidth / 2, y - clientHeight / 2, x + clientWidth / 2, y + clientHeight / 2]);
}

function boxOf(map: MapView, [left, top, right, bottom]: Box): Box {
  const corners = [
    [left, top],
    [right, top],
    [right, bottom],
    [left, bottom],
  ].map(([x = 0, y = 0]) => map.unproject([x, y]));
  const lons = corners.map(({ lng }) => lng);
  const lats = corners.map(({ lat }) => lat);
  return [Math.min(...lons), Math.min(...lats), Math.max(...lons), Math.max(...lats)];
}
