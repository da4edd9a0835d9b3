/**
 * One click for each time that a pointer comes down.
 *
 * Of a finger that rests MapLibre tells by a context menu of its own; some browsers tell of another one, or of a click,
 * when it goes up, and in any order: each would set a vertex.
 */

interface Contact {
  id: number;
  x: number;
  y: number;
  spent: boolean;
}

/** What of an event tells which pointer it is of. Synthetic events and old browsers know the place alone. */
export interface Told {
  pointerId?: number;
  clientX: number;
  clientY: number;
}

/** So many are remembered: a click may be told of after the next finger came down. */
const MOST = 4;

export class Contacts {
  #known: Contact[] = [];

  /** A pointer came down. */
  begin({ pointerId, clientX, clientY }: { pointerId: number; clientX: number; clientY: number }): void {
    const others = this.#known.filter(({ id }) => id !== pointerId);
    this.#known = [...others, { id: pointerId, x: clientX, y: clientY, spent: false }].slice(-MOST);
  }

  /** Whether this is the first that a contact says; of a contact that nobody saw begin, everything is. */
  take({ pointerId, clientX, clientY }: Told): boolean {
    const away = ({ x, y }: Contact): number => Math.hypot(x - clientX, y - clientY);
    const nearest = this.#known.toReversed().toSorted((a, b) => away(a) - away(b))[0]; // of two the later one
    const found = this.#known.find(({ id }) => id === pointerId) ?? nearest;
    if (!found) return true;
    const first = !found.spent;
    found.spent = true;
    return first;
  }
}
