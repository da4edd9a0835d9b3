/**
 * What is not saved yet, kept in this browser until the server has acknowledged it.
 *
 * localStorage and not IndexedDB: it is written at once, also while a page is being closed. A draft belongs to
 * an account; each window that edits has its own, and takes over one whose window is gone.
 */
import { DRAFTS } from "../unsaved.ts";
import type { Change } from "./pending.ts";

/** A changeset on its way: sent again with the same key and the same bytes until there is an answer. */
export interface Outbox {
  key: string;
  body: string;
  changes: readonly Change[];
}

export interface Content {
  changes: readonly Change[];
  comment: string;
  source: string;
  outbox: Outbox | null;
}

const EMPTY: Content = { changes: [], comment: "", source: "", outbox: null };

/** Places for texts; localStorage, or a test's. */
export interface Store {
  readonly length: number;
  key(index: number): string | null;
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/** What a draft says, whoever wrote it: null where it is none. */
export function parsed(text: string | null): Content | null {
  try {
    const found = JSON.parse(text ?? "") as Partial<Content> | null;
    if (!found || !Array.isArray(found.changes)) return null;
    const outbox = found.outbox ?? null;
    if (outbox && (typeof outbox.key !== "string" || typeof outbox.body !== "string" || !Array.isArray(outbox.changes))) return null;
    return { ...EMPTY, ...found, outbox };
  } catch {
    return null;
  }
}

export function isEmpty({ changes, outbox }: Content): boolean {
  return changes.length === 0 && outbox === null;
}

export class Draft {
  readonly key: string;
  #content: Content;
  readonly #store: Store | null;
  readonly #failed: () => void;

  /** `failed` is called when the browser does not keep it: no storage, or no room. */
  constructor(store: Store | null, key: string, failed: () => void) {
    this.#store = store;
    this.key = key;
    this.#failed = failed;
    this.#content = parsed(store?.getItem(key) ?? null) ?? EMPTY;
  }

  get content(): Content {
    return this.#content;
  }

  set(part: Partial<Content>): void {
    this.#content = { ...this.#content, ...part };
    try {
      if (!this.#store) throw new Error("no storage");
      if (isEmpty(this.#content)) this.#store.removeItem(this.key);
      else this.#store.setItem(this.key, JSON.stringify(this.#content));
    } catch (error) {
      console.warn(error);
      if (!isEmpty(this.#content)) this.#failed();
    }
  }
}

/** Keys of the account's drafts, those that hold something. */
export function draftsOf(store: Store, account: string): string[] {
  const prefix = `${DRAFTS}${account}/`;
  const keys = Array.from({ length: store.length }, (_, index) => store.key(index));
  return keys.filter((key) => key?.startsWith(prefix) && parsed(store.getItem(key))).map(String).sort();
}

function localStore(): Store | null {
  try {
    return window.localStorage;
  } catch {
    return null; // forbidden here
  }
}

/** Holds a draft for this window; false where another window has it. Without locks nobody can tell. */
function claimed(key: string): Promise<boolean> {
  if (!("locks" in navigator)) return Promise.resolve(true);
  return new Promise((resolve) => {
    void navigator.locks.request(key, { ifAvailable: true }, (lock) => {
      resolve(lock !== null);
      return lock === null ? undefined : new Promise(() => undefined); // held until the window is gone
    });
  });
}

const mine = new Map<string, Draft>();

/** The account's draft in this window: its own, or one that a window left behind, or a new one. */
export async function openDraft(account: string, failed: () => void): Promise<Draft> {
  const known = mine.get(account);
  if (known) return known;
  const store = localStore();
  let key = "";
  for (const one of store ? draftsOf(store, account) : []) {
    if (await claimed(one)) {
      key = one;
      break;
    }
  }
  if (key === "") {
    key = `${DRAFTS}${account}/${newKey()}`;
    await claimed(key);
  }
  const draft = new Draft(store, key, failed);
  mine.set(account, draft);
  return draft;
}

/** 128 random bits; crypto.randomUUID exists only on secure pages. */
export function newKey(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
