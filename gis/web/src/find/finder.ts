/** Results while one types: asked of the server, grouped, chosen by mouse or keyboard (ARIA combobox). */
import type { PageContext } from "../context.ts";
import { parsePair } from "../crs.ts";
import { h, symbol } from "../dom.ts";
import { onLanguage, pick, texts } from "../i18n.ts";
import { getJson } from "../server.ts";
import type { Box } from "../types.ts";
import type { FindBox } from "./box.ts";
import { grouped, ICONS, readResults, type Result, withPlace } from "./results.ts";
import { TEXTS } from "./texts.ts";

const t = texts(TEXTS);
/** After the last letter: people who write quickly are not asked of for every letter. */
const WAIT_MS = 120;
const LIMIT = 12;
const FEATURE_ZOOM = 18;
const PLACE_ZOOM = 17;

export class Finder {
  readonly #context: PageContext;
  readonly #box: FindBox;
  readonly #said = h("p", { class: "find-status", role: "status", "aria-live": "polite" });
  readonly #rows = h("div", {});
  #options: { element: HTMLElement; result: Result }[] = [];
  #active = -1;
  #timer = 0;
  #request: AbortController | null = null;
  /** The text that the list is about; null while it is being asked for. */
  #shown: string | null = "";
  #results: Result[] = [];
  #failure = "";
  /** Enter was pressed before the answer came: the first result is gone to. */
  #goFirst = false;

  constructor(context: PageContext, box: FindBox) {
    this.#context = context;
    this.#box = box;
    box.list.append(this.#rows, this.#said);
    box.input.addEventListener("keydown", (event) => this.#key(event));
    box.element.addEventListener("focusout", (event) => {
      if (!box.element.contains(event.relatedTarget as Node | null)) this.#close();
    });
    box.input.addEventListener("focus", () => this.#text() !== "" && this.#open());
    // The list must not take the focus from the box, or the box would close it.
    box.list.addEventListener("mousedown", (event) => event.preventDefault());
    onLanguage(() => this.#render());
  }

  /** The text of the box changed. */
  typed(): void {
    window.clearTimeout(this.#timer);
    this.#request?.abort();
    this.#goFirst = false;
    const text = this.#text();
    if (text === "") {
      [this.#results, this.#shown, this.#failure] = [[], "", ""];
      this.#close();
      return;
    }
    this.#shown = null;
    this.#failure = "";
    // What is at hand already: the place that the text names.
    this.#results = withPlace(this.#place(text), text, []);
    this.#render();
    this.#open();
    this.#timer = window.setTimeout(() => void this.#ask(text), WAIT_MS);
  }

  /** Enter: to the chosen result, or the best. */
  go(): void {
    const text = this.#text();
    if (text === "") return;
    const chosen = this.#options[this.#active]?.result ?? this.#options[0]?.result;
    const ready = this.#shown === text || this.#active >= 0 || this.#place(text) !== null;
    if (chosen && ready) this.#take(chosen);
    else if (this.#shown === text) this.#nothing(text);
    else {
      this.#goFirst = true;
      if (this.#request === null || this.#request.signal.aborted) this.typed();
      this.#goFirst = true;
    }
  }

  async #ask(text: string): Promise<void> {
    const request = new AbortController();
    this.#request = request;
    const { lng, lat } = this.#context.map.getCenter();
    const asked = new URLSearchParams({ q: text, limit: String(LIMIT), near: `${lng.toFixed(5)},${lat.toFixed(5)}` });
    try {
      const answer = await getJson<unknown>(`/search?${asked.toString()}`, request.signal);
      if (request.signal.aborted) return;
      this.#results = withPlace(this.#place(text), text, readResults(answer));
      this.#failure = "";
    } catch (error) {
      if (request.signal.aborted) return;
      this.#failure = error instanceof Error ? error.message : String(error);
    }
    this.#shown = text;
    this.#render();
    if (!this.#goFirst) return;
    this.#goFirst = false;
    this.go();
  }

  #text(): string {
    return this.#box.input.value.trim();
  }

  #place(text: string) {
    const found = parsePair(text) ? this.#context.readPlace(text) : "";
    return typeof found === "string" ? null : found;
  }

  /** Two numbers that are no place of the city are told about as such. */
  #nothing(text: string): void {
    const why = parsePair(text) ? this.#context.readPlace(text) : null;
    if (typeof why === "string") this.#context.status.say(why);
    else this.#context.status.say(this.#failure ? t("failed", { reason: this.#failure }) : t("none", { text }));
  }

  #take(result: Result): void {
    const { point, bbox, layer, fid } = result;
    this.#box.input.value = result.kind === "coordinates" ? this.#box.input.value : result.title;
    this.#shown = this.#text();
    this.#close();
    this.#box.input.blur();
    if (layer !== null && fid !== null) {
      // The card first: the map then goes to the room that it leaves.
      this.#context.openFeature(layer, fid);
      const box = bbox ?? (point ? ([...point, ...point] as Box) : null);
      if (box) this.#context.zoomTo(box, FEATURE_ZOOM);
    } else if (bbox && result.kind !== "coordinates") {
      this.#context.closeCard();
      this.#context.zoomTo(bbox, PLACE_ZOOM);
    } else if (point) this.#context.goTo(point);
  }

  #render(): void {
    const groups = grouped(this.#results);
    this.#options = [];
    this.#active = -1;
    const sections = groups.map(({ kind, results }, at) => {
      const name = `find-kind-${at}`;
      const options = results.map((result) => this.#option(result));
      return h(
        "div",
        { role: "group", "aria-labelledby": name, class: "find-group" },
        h("div", { class: "find-kind", id: name, role: "presentation" }, symbol(ICONS[kind]), t(kind)),
        ...options,
      );
    });
    this.#rows.replaceChildren(...sections);
    this.#mark(-1);
    const count = this.#options.length;
    this.#said.className = this.#failure ? "find-status trouble-text" : "find-status";
    this.#said.textContent = this.#failure
      ? t("failed", { reason: this.#failure })
      : this.#shown === null
        ? t("searching")
        : count > 0
          ? t("found", { count })
          : t("none", { text: this.#shown });
  }

  #option(result: Result): HTMLElement {
    const at = this.#options.length;
    const about = pick(result.subtitle);
    const element = h(
      "div",
      {
        role: "option",
        class: "find-option",
        id: `find-option-${at}`,
        "aria-selected": "false",
        onclick: () => this.#take(result),
        onmousemove: () => this.#active !== at && this.#mark(at),
      },
      h("span", { class: "find-title" }, result.title),
      about ? h("small", {}, about) : null,
    );
    element.dataset["kind"] = result.kind;
    this.#options.push({ element, result });
    return element;
  }

  #mark(at: number): void {
    this.#options[this.#active]?.element.setAttribute("aria-selected", "false");
    this.#active = at;
    const option = this.#options[at]?.element;
    option?.setAttribute("aria-selected", "true");
    if (option) this.#box.input.setAttribute("aria-activedescendant", option.id);
    else this.#box.input.removeAttribute("aria-activedescendant");
  }

  #key(event: KeyboardEvent): void {
    const { key } = event;
    if (key === "Escape") {
      if (this.#box.list.hidden && this.#text() === "") return;
      event.preventDefault();
      event.stopPropagation();
      if (this.#box.list.hidden) this.#box.clear();
      else this.#close();
      return;
    }
    if (key !== "ArrowDown" && key !== "ArrowUp") return;
    event.preventDefault();
    this.#open();
    const count = this.#options.length;
    if (count === 0) return;
    // Before the first and after the last comes the box itself, where one types on.
    const next = this.#active + (key === "ArrowDown" ? 1 : -1);
    this.#mark(next < -1 ? count - 1 : next >= count ? -1 : next);
    this.#options[this.#active]?.element.scrollIntoView({ block: "nearest" });
  }

  #open(): void {
    if (this.#text() === "") return;
    this.#box.list.hidden = false;
    this.#box.input.setAttribute("aria-expanded", "true");
  }

  #close(): void {
    this.#box.list.hidden = true;
    this.#box.input.setAttribute("aria-expanded", "false");
    this.#mark(-1);
  }
}
