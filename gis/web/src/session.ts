/**
 * Who uses the page. Nobody is logged in at first: public layers, reading only.
 *
 * A login is kept in memory, so it ends with the page; in sessionStorage (until the window is closed) only
 * when the reader wants that. What somebody may do is what GET /me says; the server decides anyhow.
 */
import { EMBEDDED } from "./embed.ts";
import { api, apiJson, onLoginNeeded, type ServerError, setLogin } from "./server.ts";

export type Role = "viewer" | "editor" | "steward" | "admin";

export interface Grant {
  role: Role;
  agency: string;
  /** null: all layers that the agency works on. */
  layer: string | null;
  /** null: everywhere. */
  area: Record<string, unknown> | null;
}

/** A layer that one may edit. */
export interface Editable {
  layer: string;
  /** Owners whose features; ["*"]: all. */
  agencies: string[];
  /** false: only within the area of the grant. */
  everywhere: boolean;
}

/** What GET /me says. */
export interface Me {
  name: string;
  agency: string | null;
  grants: Grant[];
  /** The API token that was shown; null after a login by password. */
  token: { id: number; scopes: string[] } | null;
  manages: boolean;
  edit: Editable[];
  /** Layers that show more than they show to anyone: restricted ones, and those with confidential attributes. */
  hidden: string[];
  /** Agencies that one is steward or admin of; ["*"]: all. */
  steward: string[];
}

const KEPT = "bandoso.login";

/** The Authorization header of a name and a password (RFC 7617, UTF-8). */
export function basicHeader(name: string, password: string): string {
  const bytes = new TextEncoder().encode(`${name}:${password}`);
  return `Basic ${btoa(String.fromCharCode(...bytes))}`;
}

/** The Authorization header of an API token, or of a JWT of the city's provider. */
export function tokenHeader(token: string): string {
  return `Bearer ${token.trim()}`;
}

function kept(): string | null {
  if (EMBEDDED) return null;
  try {
    return sessionStorage.getItem(KEPT);
  } catch {
    return null; // storage is forbidden here: nothing is ever kept
  }
}

function keep(header: string | null): void {
  try {
    if (header === null) sessionStorage.removeItem(KEPT);
    else sessionStorage.setItem(KEPT, header);
  } catch {
    // As above.
  }
}

export class Session {
  #me: Me | null = null;
  readonly #listeners = new Set<() => void>();
  #asking: Promise<boolean> | null = null;
  #dialog: ((session: Session) => Promise<boolean>) | null = null;

  constructor() {
    onLoginNeeded(() => this.ask());
  }

  get me(): Me | null {
    return this.#me;
  }

  /** Calls the listener after somebody logged in or out. */
  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** What asks the reader for name and password; its promise tells whether he logged in. */
  setDialog(dialog: (session: Session) => Promise<boolean>): void {
    this.#dialog = dialog;
  }

  /**
   * Logs in with an Authorization header. Raises ServerError: 401 where it is wrong, 429 where too many
   * logins have failed. `remember`: until this window is closed.
   */
  async login(header: string, remember: boolean): Promise<Me> {
    const found = await apiJson<Me>("/me", { headers: { Authorization: header }, ask: false });
    setLogin(header);
    keep(remember ? header : null);
    this.#set(found);
    return found;
  }

  /** The login that the window kept, if it is still good. Never raises: without it one is nobody. */
  async restore(): Promise<void> {
    const header = kept();
    if (header === null) return;
    try {
      await this.login(header, true);
    } catch (error) {
      console.warn(error);
      // A server that is away is no reason to forget who one is.
      if ((error as ServerError).status === 401) keep(null);
    }
  }

  logout(): void {
    setLogin(null);
    keep(null);
    this.#set(null);
  }

  /** Asks what one may do again: rights may have been given or taken. */
  async refresh(): Promise<void> {
    if (this.#me) this.#set(await (await api("/me")).json());
  }

  /** Has the reader asked to log in, once for all that need it. Tells whether he did; if not, he is nobody. */
  ask(): Promise<boolean> {
    this.#asking ??= (this.#dialog?.(this) ?? Promise.resolve(false)).then(
      (done) => {
        this.#asking = null;
        if (!done && this.#me) this.logout();
        return done;
      },
      (error: unknown) => {
        this.#asking = null;
        throw error;
      },
    );
    return this.#asking;
  }

  /** Whose features of the layer one may edit; null: nobody's. */
  editable(layer: string): Editable | null {
    return this.#me?.edit.find((one) => one.layer === layer) ?? null;
  }

  /** Whether one may edit this feature, as far as that can be told from its owner. */
  mayEdit(layer: string, owner: unknown): boolean {
    const agencies = this.editable(layer)?.agencies ?? [];
    return agencies.includes("*") || (typeof owner === "string" && agencies.includes(owner));
  }

  get isEditor(): boolean {
    return (this.#me?.edit.length ?? 0) > 0;
  }

  /** Steward or admin of an agency; without one, of any. */
  isSteward(agency?: string): boolean {
    const mine = this.#me?.steward ?? [];
    return agency === undefined ? mine.length > 0 : mine.includes("*") || mine.includes(agency);
  }

  #set(me: Me | null): void {
    this.#me = me;
    for (const listener of this.#listeners) listener();
  }
}

/** The one session of the page: it outlives a start that failed and was tried again. */
export const session = new Session();
