/**
 * Follows the change feed, so that what somebody saves shows on everybody's map within a moment.
 *
 * The server has room for few listeners (200 in a process, 10 from one address), and an office is one address: the
 * windows of a browser share one stream, and where there is no room left the page asks now and then instead. Only
 * the windows that look at the place of a change have its tiles asked for again, and not all in the same moment.
 */
import type { Map as MapView } from "maplibre-gl";
import { ANYTHING, changesAfter, NOW, type Told } from "./changes.ts";
import { ServerError } from "./server.ts";
import type { Box } from "./types.ts";

const NAME = "bandoso.changes";
/** Milliseconds over which the windows of a city spread what they ask for after a change. */
const SPREAD = 400;
/** Between two refreshes, however much is being changed. */
const LEAST = 1_000;
/** Between two questions where there is no stream; a third more or less, so that windows do not ask together. */
const POLL = 20_000;
/** After which a stream is tried again. */
const AGAIN = 300_000;
/** So often in a row a stream may fail to come about; then it is left, as behind proxies that cut every stream. */
const ATTEMPTS = 3;

/** Whether something changed within the box (degrees); layers without a box may have changed anywhere. */
export function touches(changeset: Told, [west, south, east, north]: Box): boolean {
  return Object.values(changeset.layers).some(({ bbox }) => {
    if (!bbox || bbox.length !== 4) return true;
    const [w = 0, s = 0, e = 0, n = 0] = bbox;
    return w <= east && e >= west && s <= north && n >= south;
  });
}

function isTold(value: unknown): value is Told {
  return typeof value === "object" && value !== null && "id" in value && "layers" in value;
}

/** Tells `heard` of changesets as they are made, for as long as the page lives. */
class Feed {
  readonly #heard: (told: readonly Told[]) => void;
  #last: number;
  #tryStream = 0;

  constructor(heard: (told: readonly Told[]) => void, since: number) {
    this.#heard = heard;
    this.#last = since;
    this.#listen();
  }

  #listen(): void {
    // EventSource comes back by itself where it left off, unless the server refuses it.
    const source = new EventSource(`/changes/stream?features=none${this.#last === NOW ? "" : `&since=${this.#last}`}`);
    let failed = 0;
    source.addEventListener("open", () => {
      failed = 0;
    });
    source.addEventListener("changeset", (event: MessageEvent<string>) => {
      const told: unknown = JSON.parse(event.data);
      if (!isTold(told)) return;
      this.#last = told.id;
      this.#heard([told]);
    });
    source.addEventListener("error", () => {
      failed += 1;
      if (source.readyState !== EventSource.CLOSED && failed < ATTEMPTS) return;
      source.close();
      this.#tryStream = Date.now() + AGAIN;
      void this.#poll();
    });
  }

  async #poll(): Promise<void> {
    try {
      if (!document.hidden) {
        const { told, last } = await changesAfter(this.#last);
        this.#last = last;
        if (told.length > 0) this.#heard(told);
      }
    } catch (error) {
      if (error instanceof ServerError && error.status === 410) {
        // What came after that changeset is not known any more: anything may have changed.
        this.#last = NOW;
        this.#heard(ANYTHING);
      } else console.warn(error); // the server is away: it is asked again like this
    }
    if (Date.now() > this.#tryStream) this.#listen();
    else window.setTimeout(() => void this.#poll(), POLL * (0.67 + Math.random() * 0.67));
  }
}

/** Has `refresh` called soon after something in view has changed: after the changeset `since`, which tiles have. */
export function follow(map: MapView, since: number, refresh: () => void): void {
  let stale = false;
  let timer = 0;
  let last = 0;
  const soon = (): void => {
    if (document.hidden) {
      stale = true;
      return;
    }
    if (timer !== 0) return;
    const wait = Math.max(Math.random() * SPREAD, last + LEAST - Date.now());
    timer = window.setTimeout(() => {
      timer = 0;
      last = Date.now();
      refresh();
    }, wait);
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden || !stale) return;
    stale = false;
    soon();
  });
  let reached = since;
  const heard = (told: readonly Told[]): void => {
    if (since !== NOW) reached = Math.max(reached, ...told.map(({ id }) => id));
    const bounds = map.getBounds();
    const view: Box = [bounds.getWest(), bounds.getSouth(), bounds.getEast(), bounds.getNorth()];
    if (told.some((one) => touches(one, view))) soon();
  };
  if (!("locks" in navigator) || !("BroadcastChannel" in window)) {
    new Feed(heard, since);
    return;
  }
  const channel = new BroadcastChannel(NAME);
  channel.addEventListener("message", (event: MessageEvent<unknown>) => {
    if (Array.isArray(event.data)) heard(event.data.filter(isTold));
  });
  // Another window may be the one that listens, and what it heard before this channel was open is asked for.
  void changesAfter(since).then(
    ({ told }) => heard(told),
    (error: unknown) => (error instanceof ServerError && error.status === 410 ? heard(ANYTHING) : console.warn(error)),
  );
  void navigator.locks.request(NAME, () => {
    new Feed((told) => {
      channel.postMessage(told);
      heard(told);
    }, reached);
    return new Promise<never>(() => undefined); // until this window is closed: then another one listens
  });
}
