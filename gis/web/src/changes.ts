/** What changed, as the server's feed tells it (docs/feed.md). */
import { apiJson } from "./server.ts";

/** A changeset as /changes tells it. */
export interface Told {
  id: number;
  layers: Record<string, { bbox?: number[] | null }>;
}

/** After every changeset that there is: of this, one hears what comes from now on. */
export const NOW = Number.MAX_SAFE_INTEGER;
const AT_MOST = 100;
/** What is said where it is not known what has changed. */
export const ANYTHING: readonly Told[] = [{ id: 0, layers: { any: {} } }];

/** Changesets after one, and the last of them. Raises ServerError; with status 410 they are not known any more. */
export async function changesAfter(since: number): Promise<{ told: readonly Told[]; last: number }> {
  const path = `/changes?since=${since}&features=none&limit=${AT_MOST}`;
  const { changesets, lastChangeset } = await apiJson<{ changesets: Told[]; lastChangeset: number }>(path, { ask: false });
  return { told: changesets.length < AT_MOST ? changesets : ANYTHING, last: lastChangeset };
}

/** The last changeset of now: tiles that are asked for later have it. NOW where the server does not tell. */
export async function lastChange(): Promise<number> {
  return changesAfter(NOW).then(
    ({ last }) => last,
    () => NOW,
  );
}
