/** What tools keep in the page's address: each has a key of its own and reads and writes its text. */

export interface LinkPart {
  /** Takes over what a link says; null when it says nothing. The text may hold anything. */
  read(text: string | null): void;
  /** What a link must say for the present state; null when there is nothing to say. */
  write(): string | null;
}

export class LinkParts {
  readonly #parts = new Map<string, LinkPart>();
  #read: ReadonlyMap<string, string> = new Map();
  readonly #changed: () => void;
  #waiting: { keys: readonly string[]; then: () => void }[] = [];

  /** `changed` is called when the address has to be written again. */
  constructor(changed: () => void) {
    this.#changed = changed;
  }

  /** The part hears at once what the present link says under its key (letters, at most 16). */
  register(key: string, part: LinkPart): void {
    this.#parts.set(key, part);
    part.read(this.#read.get(key) ?? null);
  }

  /** Calls `then` once: as soon as a link says something under one of the keys, now or later. */
  whenSaid(keys: readonly string[], then: () => void): void {
    if (keys.some((key) => this.#read.has(key))) then();
    else this.#waiting.push({ keys, then });
  }

  /** A tool's state changed: the address follows. */
  changed(): void {
    this.#changed();
  }

  /** What the present link says under a key, whether or not its tool is loaded. */
  text(key: string): string | null {
    return this.#read.get(key) ?? null;
  }

  read(texts: ReadonlyMap<string, string> | undefined): void {
    this.#read = texts ?? new Map();
    for (const [key, part] of this.#parts) part.read(this.#read.get(key) ?? null);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { keys, then } of waiting) this.whenSaid(keys, then);
  }

  /** Parts of tools that are not loaded yet stay as the link had them. */
  write(): Map<string, string> {
    const texts = new Map(this.#read);
    for (const [key, part] of this.#parts) {
      const text = part.write();
      if (text === null) texts.delete(key);
      else texts.set(key, text);
    }
    this.#read = texts;
    return texts;
  }
}
