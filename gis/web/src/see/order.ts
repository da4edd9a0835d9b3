/** Another order of drawing: which layer was put directly above which. Pure. */

/** `layer` is drawn directly above `below`; beneath everything when that is empty. */
export interface Move {
  layer: string;
  below: string;
}

const MOST_MOVES = 40;
const ID = /^[a-z][a-z0-9_]{0,47}$/;

/** The order of drawing (bottom first) after the moves, one after the other. Unknown layers move nothing. */
export function ordered(layers: readonly string[], moves: readonly Move[]): string[] {
  const order = [...layers];
  for (const { layer, below } of moves) {
    const from = order.indexOf(layer);
    if (from < 0 || layer === below || (below !== "" && !order.includes(below))) continue;
    order.splice(from, 1);
    order.splice(below === "" ? 0 : order.indexOf(below) + 1, 0, layer);
  }
  return order;
}

/** The moves with one more; an earlier one of the same layer says nothing any longer, unless others lean on it. */
export function moved(moves: readonly Move[], move: Move): Move[] {
  const at = moves.findIndex(({ layer }) => layer === move.layer);
  const leant = at >= 0 && moves.slice(at + 1).some(({ below }) => below === move.layer);
  return [...moves.filter((_, i) => leant || i !== at), move].slice(-MOST_MOVES);
}

export function writeMoves(moves: readonly Move[]): string | null {
  return moves.length > 0 ? moves.map(({ layer, below }) => `${layer}:${below}`).join(",") : null;
}

export function readMoves(text: string | null): Move[] {
  return (text ?? "")
    .split(",")
    .slice(0, MOST_MOVES)
    .flatMap((part) => {
      const [layer = "", below = ""] = part.split(":");
      return ID.test(layer) && (below === "" || ID.test(below)) ? [{ layer, below }] : [];
    });
}
