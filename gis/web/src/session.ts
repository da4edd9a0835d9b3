/** Who uses the page. Nobody is logged in at first: public layers, reading only. */

/** What GET /me says. */
export interface Me {
  name: string;
}

export class Session {
  #me: Me | null = null;
  readonly #listeners = new Set<() => void>();

  get me(): Me | null {
    return this.#me;
  }

  /** Calls the listener after somebody logged in or out. */
  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  set(me: Me | null): void {
    this.#me = me;
    for (const listener of this.#listeners) listener();
  }
}
