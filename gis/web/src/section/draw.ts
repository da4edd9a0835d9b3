/** A section across utilities as a drawing: to scale, the ground above, every cut at its depth. */
import { svg } from "../dom.ts";
import { formatNumber } from "../i18n.ts";
import { type Cut, groundOf, onGround, type Placed, placed, type Section } from "./answer.ts";
import { heightAt, rowsFor, spread } from "./layout.ts";
import { path, Plot, round, text } from "./plot.ts";

const BADGE = 19;
/** Smaller ones are drawn this large, or nobody would see them. */
const LEAST = 5;

export interface SectionLook {
  width: number;
  stretch: number | null;
  label: string;
  unknown: string;
  colour(layer: string): string;
  /** Roads, buildings, parcels: they lie on the ground. */
  isSurface(layer: string): boolean;
  title(cut: Cut): string;
  /** A cut was pointed at (null: none any longer) or chosen. */
  pointed(number: number | null): void;
  chosen(one: Placed): void;
}

export interface Drawn {
  element: SVGElement;
  stretch: number;
  cuts: Placed[];
}

export function drawSection(section: Section, look: SectionLook): Drawn {
  const cuts = placed(section, look.isSurface);
  const { line: ground, kind } = groundOf(section);
  const known = cuts.filter(({ middle }) => middle !== null);
  const levels = ground.map(([, height]) => height).filter((height) => height !== null);
  const reach = known.flatMap(({ middle, height }) => [(middle ?? 0) - height / 2, (middle ?? 0) + height / 2]);
  const top = levels.length + reach.length > 0 ? Math.max(...levels, ...reach) : 0;
  const low = Math.min(top - 1, ...reach.map((one) => one - 0.25));
  const rows = rowsFor(cuts.length, BADGE + 2, look.width - 70);
  const plot = new Plot(
    { length: section.length_m, low, high: top + 0.15 },
    look.width,
    34 + rows * (BADGE + 3) + (cuts.length > known.length ? 22 : 0),
    look.label,
    look.stretch,
  );
  drawGround(plot, ground, section.length_m, kind === "derived");
  drawSurface(plot, section, ground, look);
  for (const verdict of section.verdicts.filter(({ ok }) => !ok)) {
    const [a, b] = [verdict.a, verdict.b].map((index) => cuts.find(({ cut }) => cut === section.cuts[index]));
    if (a && b && a.middle !== null && b.middle !== null) drawVerdict(plot, a, b, verdict.measured_m);
  }
  drawCuts(plot, cuts, rows, look);
  return { element: plot.element, stretch: plot.stretch, cuts };
}

export function drawGround(
  plot: Plot,
  ground: readonly (readonly [number, number | null])[],
  length: number,
  derived = false,
): void {
  const line = ground.flatMap(([at, height]): [number, number][] => (height === null ? [] : [[plot.x(at), plot.y(height)]]));
  const [first] = line;
  const last = line.at(-1);
  if (!first || !last) return;
  // Beyond the outermost known points the ground goes on level, as heightAt has it.
  const whole: [number, number][] = [[plot.x(0), first[1]], ...line, [plot.x(length), last[1]]];
  const soil: [number, number][] = [...whole, [plot.x(length), plot.bottom], [plot.x(0), plot.bottom]];
  plot.inside.append(svg("path", { class: "plot-soil", d: `${path(soil)}Z` }), svg("path", { class: derived ? "plot-ground derived" : "plot-ground", d: path(whole) }));
}

/** Roads and buildings as strips on the ground; a strip's name where it has room. */
function drawSurface(plot: Plot, section: Section, ground: readonly (readonly [number, number | null])[], look: SectionLook): void {
  const strips = onGround(section, look.isSurface).toSorted((a, b) => b.to - b.from - (a.to - a.from));
  for (const { cut, from, to } of strips) {
    const places = [from, ...ground.map(([at]) => at).filter((at) => at > from && at < to), to];
    const top = places.map((at): [number, number] => [plot.x(at), plot.y(heightAt(ground, at) ?? 0) - 3]);
    const strip = svg("path", { class: "plot-strip", d: path(top), stroke: look.colour(cut.layer) });
    const name = svg("title", {});
    name.textContent = look.title(cut);
    strip.append(name);
    plot.inside.append(strip);
    const width = plot.x(to) - plot.x(from);
    const words = look.title(cut);
    if (width < words.length * 6.2) continue;
    const middle = (from + to) / 2;
    plot.inside.append(text(plot.x(middle), plot.y(heightAt(ground, middle) ?? 0) - 8, words, "middle"));
    // One name at a place is read; the widest strip comes first.
    break;
  }
}

function drawVerdict(plot: Plot, a: Placed, b: Placed, measured: number): void {
  const ends = [a, b].map((one): [number, number] => [plot.x(one.cut.station_m), plot.y(one.middle ?? 0)]);
  const [from = [0, 0], to = [0, 0]] = ends;
  const words = text((from[0] + to[0]) / 2, (from[1] + to[1]) / 2 - 5, `${formatNumber(measured, 2)} m`, "middle");
  plot.inside.append(svg("path", { class: "plot-verdict", d: path(ends) }), words);
  words.classList.add("plot-verdict-text");
}

/** The shapes, and above the ground their numbers, which never lie on each other. */
function drawCuts(plot: Plot, cuts: readonly Placed[], rows: number, look: SectionLook): void {
  const unknownY = plot.top - 14;
  const leaders = svg("g", { class: "plot-leaders", "aria-hidden": "true" });
  const shapes = svg("g", {});
  const badges = svg("g", {});
  const lanes = Array.from({ length: rows }, (_, row) => cuts.filter((_, i) => i % rows === row));
  lanes.forEach((lane, row) => {
    const at = spread(lane.map(({ cut }) => plot.x(cut.station_m)), BADGE + 2, plot.left + BADGE / 2, plot.right - BADGE / 2);
    lane.forEach((one, i) => {
      const x = plot.x(one.cut.station_m);
      const y = one.middle === null ? unknownY : plot.y(one.middle);
      const badgeX = at[i] ?? x;
      const badgeY = 4 + BADGE / 2 + row * (BADGE + 3);
      const colour = look.colour(one.cut.layer);
      leaders.append(svg("path", { d: path([[badgeX, badgeY], [x, badgeY + BADGE], [x, y]]) }));
      shapes.append(shapeOf(plot, one, x, y, colour, look.unknown));
      badges.append(badge(one, badgeX, badgeY, colour, look));
    });
  });
  plot.inside.append(leaders, shapes, badges);
}

function shapeOf(plot: Plot, one: Placed, x: number, y: number, colour: string, unknown: string): SVGElement {
  const width = Math.max(LEAST, one.width * plot.perMetre);
  const height = Math.max(LEAST, one.height * plot.perMetre * plot.stretch);
  const look = { fill: colour, stroke: colour, class: one.uncertain ? "plot-cut uncertain" : "plot-cut", "data-number": one.number };
  if (one.middle === null) {
    const mark = text(x, y + 4, "?", "middle");
    mark.setAttribute("class", "plot-unknown");
    mark.setAttribute("fill", colour);
    const title = svg("title", {});
    title.textContent = unknown;
    mark.append(title);
    return mark;
  }
  if (one.width !== one.height && one.width > 0) {
    return svg("rect", { ...look, x: round(x - width / 2), y: round(y - height / 2), width: round(width), height: round(height) });
  }
  return svg("ellipse", { ...look, cx: round(x), cy: round(y), rx: round(width / 2), ry: round(height / 2) });
}

function badge(one: Placed, x: number, y: number, colour: string, look: SectionLook): SVGElement {
  const group = svg("g", { class: "plot-badge", "data-number": one.number });
  group.append(svg("circle", { cx: round(x), cy: round(y), r: BADGE / 2, stroke: colour }), text(x, y + 4, String(one.number), "middle"));
  group.addEventListener("pointerenter", () => look.pointed(one.number));
  group.addEventListener("pointerleave", () => look.pointed(null));
  group.addEventListener("click", () => look.chosen(one));
  return group;
}
