/** The addresses by which others see the present view. Pure. */
import type { Box } from "../types.ts";

/** Letters that would end an attribute or begin an element. */
function attribute(text: string): string {
  return text.replace(/[&"<>]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

/** The page of an address, for other sites to show: without tools, and so without `tool=`. */
export function embedAddress(href: string): string {
  const url = new URL(href);
  url.pathname = url.pathname.replace(/\/map\/?(?:embed)?$/, "/map/embed");
  const parts = url.hash.slice(1).split("&").filter((part) => part !== "" && !part.startsWith("tool="));
  url.hash = parts.join("&");
  return url.href;
}

/** HTML that shows an address in a frame. */
export function frameCode(address: string, title: string): string {
  return (
    `<iframe src="${attribute(address)}" title="${attribute(title)}" width="800" height="600" ` +
    'loading="lazy" referrerpolicy="no-referrer"></iframe>'
  );
}

const SIDES = [16, 2000] as const;
/** The server takes 4096 a side and 8 million pixels together. */
const side = (pixels: number): number => Math.round(Math.min(Math.max(pixels, SIDES[0]), SIDES[1]));

/** GET /image of a view: its layers, pictures too, with the reader's filters, in the page's size. */
export function imageAddress(
  origin: string,
  box: Box,
  size: { width: number; height: number },
  layers: readonly string[],
  filters: Readonly<Record<string, string>>,
  language: string,
): string {
  const parameters = new URLSearchParams({
    bbox: box.map((degree) => degree.toFixed(6)).join(","),
    width: String(side(size.width)),
    height: String(side(size.height)),
    layers: layers.join(","),
    ...(Object.keys(filters).length > 0 ? { filter: JSON.stringify(filters) } : {}),
    lang: language,
  });
  return `${origin}/image?${parameters.toString().replaceAll("%2C", ",")}`;
}
