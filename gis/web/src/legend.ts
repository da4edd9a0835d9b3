/** Small drawings of how a layer looks on the map. */
import { svg } from "./dom.ts";
import { getJson } from "./server.ts";
import type { Layer, LegendEntry } from "./types.ts";

const WIDTH = 26;
const HEIGHT = 18;

interface SpriteIcon {
  x: number;
  y: number;
  width: number;
  height: number;
  pixelRatio: number;
}

/** The icons of the style's sprite, cut for the legend from the sheet that the map has: that for its pixels. */
export class Icons {
  #index: Record<string, SpriteIcon> = {};
  #sheet = "";

  /** Loads the index; without it the legend shows coloured dots. */
  async load(sprite: string): Promise<void> {
    const base = new URL(sprite, window.location.origin).href;
    const ratio = window.devicePixelRatio > 1 ? "@2x" : "";
    this.#sheet = `${base}${ratio}.png`;
    this.#index = await getJson<Record<string, SpriteIcon>>(`${base}${ratio}.json`);
  }

  /** The icon centred in a swatch, or null when the sprite has none of that name. */
  draw(name: string): SVGElement | null {
    const icon = Object.hasOwn(this.#index, name) ? this.#index[name] : undefined;
    if (!icon) return null;
    const side = Math.min(HEIGHT, icon.height / icon.pixelRatio);
    const width = (side * icon.width) / icon.height;
    return svg(
      "svg",
      {
        x: (WIDTH - width) / 2,
        y: (HEIGHT - side) / 2,
        width,
        height: side,
        viewBox: `${icon.x} ${icon.y} ${icon.width} ${icon.height}`,
      },
      svg("image", { href: this.#sheet }),
    );
  }
}

function shape(entry: LegendEntry, icons: Icons): SVGElement {
  const stroke = entry.outline ?? entry.colour;
  if (entry.kind === "line") {
    const width = Math.min(6, Math.max(1.5, entry.width));
    const line = svg("line", { x1: 1, y1: HEIGHT / 2, x2: WIDTH - 1, y2: HEIGHT / 2, stroke: entry.colour });
    line.setAttribute("stroke-width", String(width));
    // A map's dashes are in line widths.
    if (entry.dash) line.setAttribute("stroke-dasharray", entry.dash.map((part) => part * width).join(" "));
    return line;
  }
  if (entry.kind === "fill") {
    const fill = svg("rect", { x: 3, y: 2, width: WIDTH - 6, height: HEIGHT - 4, rx: 2, fill: entry.colour, stroke });
    fill.setAttribute("fill-opacity", "0.45");
    return fill;
  }
  const icon = entry.icon ? icons.draw(entry.icon) : null;
  const radius = Math.min(6, Math.max(3.5, entry.width));
  return (
    icon ??
    svg("circle", {
      cx: WIDTH / 2,
      cy: HEIGHT / 2,
      r: radius,
      fill: entry.colour,
      stroke: entry.outline ?? "#ffffff",
      "stroke-width": 1.2,
    })
  );
}

export function swatch(entry: LegendEntry | undefined, icons: Icons): SVGElement {
  const frame = svg("svg", {
    class: "swatch",
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    width: WIDTH,
    height: HEIGHT,
    "aria-hidden": "true",
  });
  if (entry) frame.append(shape(entry, icons));
  return frame;
}

/** The swatch that stands for a whole layer: its first class. */
export function layerSwatch(layer: Layer, icons: Icons): SVGElement {
  return swatch(layer.legend[0], icons);
}
