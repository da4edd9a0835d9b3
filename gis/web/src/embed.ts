/**
 * Whether this is the map of other sites' pages (/map/embed): without logins and without tools, so that the
 * page around it can lead nobody to click on anything that changes data.
 */
export const EMBEDDED = window.location.pathname.endsWith("/map/embed");

/** No room for the layers beside the map. */
export const NARROW = window.matchMedia("(max-width: 760px)");

/** Pixels that the map will have across, before there is one: what the layers beside it leave. */
export function stageWidth(): number {
  const side = parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--side")) || 0;
  return window.innerWidth - (EMBEDDED || NARROW.matches ? 0 : side);
}
