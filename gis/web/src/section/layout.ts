/** Scales, ticks and places of labels of a drawn section. Pure. */

/** Round numbers (1, 2, 5 times a power of ten) that cover a range with about as many steps as wanted. */
export function ticks(from: number, to: number, wanted: number): number[] {
  const span = to - from;
  if (!(span > 0) || wanted < 1) return [from];
  const rough = span / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((n) => n * power >= rough) ?? 10) * power;
  const first = Math.ceil(from / step - 1e-9);
  const last = Math.floor(to / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

export const EXAGGERATIONS = [1, 2, 5, 10, 20, 50] as const;

/**
 * How much taller than wide a metre is drawn: the most of EXAGGERATIONS with which `height` metres are not
 * taller than `pixels`, where a metre along is `perMetre` pixels.
 */
export function exaggeration(height: number, perMetre: number, pixels: number): number {
  return EXAGGERATIONS.findLast((one) => height * perMetre * one <= pixels) ?? 1;
}

/**
 * Places for labels of a width (with its gap) along a line from `from` to `to`, in the order given: as near
 * to where they belong as they can be without lying on each other. When they cannot all stand in the line,
 * they stand as close as needed.
 */
export function spread(wanted: readonly number[], width: number, from: number, to: number): number[] {
  const gap = wanted.length > 1 ? Math.min(width, (to - from) / (wanted.length - 1)) : width;
  // Labels that touch move together, to the mean of where each of them would put the group.
  const groups: { sum: number; count: number }[] = [];
  const place = ({ sum, count }: { sum: number; count: number }): number => {
    const length = (count - 1) * gap;
    return Math.min(Math.max(sum / count, from), Math.max(from, to - length));
  };
  for (const one of wanted) {
    groups.push({ sum: one, count: 1 });
    while (groups.length > 1) {
      const last = groups.at(-1);
      const before = groups.at(-2);
      if (!last || !before || place(before) + before.count * gap <= place(last)) break;
      groups.splice(-2, 2, { sum: before.sum + last.sum - last.count * before.count * gap, count: before.count + last.count });
    }
  }
  return groups.flatMap((group) => Array.from({ length: group.count }, (_, i) => place(group) + i * gap));
}

/** How many rows labels need so that they need not lie on each other. */
export function rowsFor(count: number, width: number, length: number): number {
  return Math.max(1, Math.ceil((count * width) / Math.max(length, 1)));
}

/** The height at a place of a line of [place, height or null], by straight lines between known points. */
export function heightAt(line: readonly (readonly [number, number | null])[], at: number): number | null {
  let before: readonly [number, number] | null = null;
  for (const [place, height] of line) {
    if (height === null) continue;
    if (place >= at) {
      if (!before) return height;
      const share = place === before[0] ? 0 : (at - before[0]) / (place - before[0]);
      return before[1] + share * (height - before[1]);
    }
    before = [place, height];
  }
  return before ? before[1] : null;
}
