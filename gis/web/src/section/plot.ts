/** The frame of a drawn section: metres along and heights, with a grid, to scale. */
import { svg } from "../dom.ts";
import { formatNumber } from "../i18n.ts";
import { exaggeration, ticks } from "./layout.ts";

export interface PlotRange {
  /** Metres along. */
  length: number;
  /** Heights in metres: lowest and highest that are drawn. */
  low: number;
  high: number;
}

const MARGIN = { left: 46, right: 14, bottom: 34 };
/** So that the drawing fits into the dock along the bottom of a small screen. */
const TALLEST = 210;

export class Plot {
  readonly element: SVGElement;
  /** Things are drawn into this, above the grid. */
  readonly inside = svg("g", {});
  readonly width: number;
  readonly height: number;
  /** How much taller than wide a metre is drawn. */
  readonly stretch: number;
  readonly top: number;
  readonly perMetre: number;
  readonly #range: PlotRange;

  /** `width` in pixels; `top`: pixels kept above the highest height for labels; `stretch`: chosen by the reader. */
  constructor(range: PlotRange, width: number, top: number, label: string, stretch: number | null = null) {
    this.#range = range;
    this.width = width;
    this.top = top;
    this.perMetre = (width - MARGIN.left - MARGIN.right) / Math.max(range.length, 0.1);
    const tall = Math.max(range.high - range.low, 0.5);
    this.stretch = stretch ?? exaggeration(tall, this.perMetre, TALLEST);
    this.height = top + Math.max(40, tall * this.perMetre * this.stretch) + MARGIN.bottom;
    this.element = svg("svg", {
      class: "plot",
      viewBox: `0 0 ${width} ${Math.ceil(this.height)}`,
      width,
      height: Math.ceil(this.height),
      role: "img",
      "aria-label": label,
    });
    this.#grid();
    this.element.append(this.inside);
  }

  x(along: number): number {
    return MARGIN.left + along * this.perMetre;
  }

  y(height: number): number {
    return this.top + (this.#range.high - height) * this.perMetre * this.stretch;
  }

  get left(): number {
    return MARGIN.left;
  }

  get right(): number {
    return this.width - MARGIN.right;
  }

  get bottom(): number {
    return this.height - MARGIN.bottom;
  }

  #grid(): void {
    const { low, high, length } = this.#range;
    const lines = svg("g", { class: "plot-grid", "aria-hidden": "true" });
    const tall = (high - low) * this.perMetre * this.stretch;
    for (const height of ticks(low, high, Math.max(2, Math.floor(tall / 36)))) {
      const y = this.y(height);
      lines.append(svg("line", { x1: this.left, x2: this.right, y1: y, y2: y }));
      lines.append(text(this.left - 6, y + 4, formatNumber(height, 2), "end"));
    }
    for (const along of ticks(0, length, Math.max(2, Math.floor((this.right - this.left) / 80)))) {
      const x = this.x(along);
      lines.append(svg("line", { x1: x, x2: x, y1: this.top, y2: this.bottom }));
      lines.append(text(x, this.bottom + 15, formatNumber(along, 2), "middle"));
    }
    lines.append(text(this.right, this.bottom + 29, "m", "end"));
    this.element.append(lines);
  }
}

export function text(x: number, y: number, words: string, anchor: "start" | "middle" | "end"): SVGElement {
  const element = svg("text", { x: round(x), y: round(y), "text-anchor": anchor });
  element.textContent = words;
  return element;
}

/** Pixels with a tenth. */
export function round(value: number): number {
  return Math.round(value * 10) / 10;
}

/** A path through points. */
export function path(points: readonly (readonly [number, number])[]): string {
  return points.map(([x, y], i) => `${i === 0 ? "M" : "L"}${round(x)} ${round(y)}`).join("");
}
