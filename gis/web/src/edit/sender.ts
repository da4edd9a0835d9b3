/** Checking and saving: what the server says to the pending changes, and sending them until it has answered. */
import { api, apiJson, ServerError } from "../server.ts";
import { type Draft, newKey, type Outbox } from "./draft.ts";
import type { Conflict } from "./merge.ts";
import { type Change, type Pending, sent } from "./pending.ts";

export interface Finding {
  rule: string;
  title: string;
  severity: string;
  message?: string;
  place?: GeoJSON.Geometry | null;
  features: { collection: string; id: number; asset_id: string | null }[];
}

/** What the server says to the changes. */
export type Judgement =
  | { kind: "fine"; findings: Finding[] }
  | { kind: "rejected"; findings: Finding[]; warnings: Finding[] }
  | { kind: "invalid"; errors: { pointer: string; detail: string }[]; message: string }
  | { kind: "conflict"; conflicts: Conflict[] }
  | { kind: "failed"; message: string };

/** resting; sending; waiting: no answer, and it will be sent again. */
export type SendState = "resting" | "sending" | "waiting";

const SAVE_MS = 60_000;
const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 30_000;

/** Nobody knows what became of it, or the server has no time now: the same is sent again. */
export function isPassing(error: unknown): error is ServerError {
  if (!(error instanceof ServerError)) return false;
  return error.unanswered || [429, 502, 503, 504].includes(error.status) || error.problem.code === "still-running";
}

/** A refusal as the page tells it. */
export function judged(error: unknown): Judgement {
  if (!(error instanceof ServerError)) return { kind: "failed", message: String(error) };
  const { problem, message } = error;
  if (Array.isArray(problem["conflicts"])) return { kind: "conflict", conflicts: problem["conflicts"] as Conflict[] };
  if (Array.isArray(problem["findings"])) {
    const warnings = (problem["warnings"] ?? []) as Finding[];
    return { kind: "rejected", findings: problem["findings"] as Finding[], warnings };
  }
  const errors = (problem.errors ?? []).filter((one) => typeof one.pointer === "string") as { pointer: string; detail: string }[];
  if (errors.length > 0) return { kind: "invalid", errors, message };
  return { kind: "failed", message: [problem.detail ?? message, problem.hint].filter(Boolean).join(" ") };
}

export class Sender {
  readonly #pending: Pending;
  readonly #draft: Draft;
  readonly #crs: string;
  readonly #changed: () => void;
  #state: SendState = "resting";
  #wait = FIRST_WAIT;
  #timer = 0;
  #ended = false;
  #done: ((judgement: Judgement) => void) | null = null;
  readonly #online = (): void => void this.#push();

  /** `crs`: URI of the CRS of the geometries. `changed` is called when the state is another. */
  constructor(pending: Pending, draft: Draft, crs: string, changed: () => void) {
    this.#pending = pending;
    this.#draft = draft;
    this.#crs = crs;
    this.#changed = changed;
    window.addEventListener("online", this.#online);
  }

  get state(): SendState {
    return this.#state;
  }

  get outbox(): Outbox | null {
    return this.#draft.content.outbox;
  }

  /** What would become of the changes, without making them. */
  async check(changes: readonly Change[]): Promise<Judgement> {
    try {
      const answer = await apiJson<{ findings: Finding[] }>("/changesets?dry-run=true", {
        method: "POST",
        headers: { "Content-Crs": `<${this.#crs}>` },
        json: { changes: changes.map(sent) },
        timeout: SAVE_MS,
      });
      return { kind: "fine", findings: answer.findings };
    } catch (error) {
      return judged(error);
    }
  }

  /** Sends everything that is pending. Resolves when the server has answered, however long that takes. */
  save(comment: string, source: string): Promise<Judgement> {
    if (this.outbox === null) {
      const changes = this.#pending.changes;
      const body = JSON.stringify({
        ...(comment ? { comment } : {}),
        ...(source ? { source } : {}),
        changes: changes.map(sent),
      });
      // Kept before it is sent: from here on nobody but the server knows whether it was made.
      this.#draft.set({ outbox: { key: newKey(), body, changes } });
      this.#pending.take();
    }
    return this.resume();
  }

  /** Goes on with what was not acknowledged, also after the page was opened anew. */
  resume(): Promise<Judgement> {
    return new Promise((resolve) => {
      this.#done = resolve;
      void this.#push();
    });
  }

  async #push(): Promise<void> {
    const { outbox } = this;
    if (!outbox || this.#ended || this.#state === "sending") return;
    window.clearTimeout(this.#timer);
    this.#set("sending");
    let judgement: Judgement;
    try {
      const response = await api("/changesets", {
        method: "POST",
        headers: {
          "Content-Type": "application/json",
          "Content-Crs": `<${this.#crs}>`,
          "Idempotency-Key": outbox.key,
        },
        body: outbox.body,
        timeout: SAVE_MS,
      });
      const answer = (await response.json().catch(() => ({ findings: [] }))) as { findings: Finding[] };
      this.#draft.set({ outbox: null, comment: "", source: "" });
      judgement = { kind: "fine", findings: answer.findings };
    } catch (error) {
      if (isPassing(error)) {
        this.#again(error.retryAfter);
        return;
      }
      judgement = judged(error);
      this.#draft.set({ outbox: null });
      this.#pending.giveBack(outbox.changes);
    }
    this.#wait = FIRST_WAIT;
    this.#set("resting");
    this.#done?.(judgement);
    this.#done = null;
  }

  #again(after: number | null): void {
    this.#set("waiting");
    const wait = after === null ? this.#wait : after * 1000;
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
    if (!this.#ended) this.#timer = window.setTimeout(() => void this.#push(), wait);
  }

  /** Now, and not when its time comes. */
  retry(): void {
    void this.#push();
  }

  end(): void {
    this.#ended = true;
    window.clearTimeout(this.#timer);
    window.removeEventListener("online", this.#online);
  }

  #set(state: SendState): void {
    this.#state = state;
    this.#changed();
  }
}
