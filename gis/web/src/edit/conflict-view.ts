/** A feature that somebody else changed meanwhile: what it was, mine, theirs, and a choice for each attribute. */
import { formatValue } from "../attributes.ts";
import { bounds } from "../bounds.ts";
import { h } from "../dom.ts";
import { formatDate, pick, texts } from "../i18n.ts";
import { newKey } from "./draft.ts";
import type { Editor } from "./editor.ts";
import type { Shape } from "./geometry.ts";
import { type Choice, type Conflict, decided, madeAgain, merged, type Row, rows } from "./merge.ts";
import { type Change, keyOf } from "./pending.ts";
import { TEXTS } from "./texts.ts";

const t = texts(TEXTS);

export class ConflictView {
  readonly element: HTMLElement;
  readonly #editor: Editor;
  readonly #conflict: Conflict;
  readonly #choices = new Map<string, Choice>();

  constructor(editor: Editor, conflict: Conflict) {
    this.#editor = editor;
    this.#conflict = conflict;
    const layer = editor.context.state.layers.get(conflict.layer);
    const name = String(conflict.base?.properties["asset_id"] ?? `#${conflict.fid}`);
    this.element = h(
      "section",
      { class: "edit-conflict", "data-feature": `${conflict.layer}/${conflict.fid}` },
      h("h4", {}, `${pick(layer?.title)} ${name}`),
      ...this.#body(),
    );
  }

  get #change(): Change | undefined {
    return this.#editor.pending.get(this.#conflict.layer, String(this.#conflict.fid));
  }

  get #who(): { author: string; at: string } {
    const { author, agency, at } = this.#conflict.theirs;
    return { author: author ?? agency ?? "?", at: at ? formatDate(at, true) : "?" };
  }

  #body(): Node[] {
    if (this.#conflict.theirs.deleted) {
      return [
        h("p", {}, t("theyDeleted", this.#who)),
        this.#buttons([t("dropMine"), () => null], [t("makeAgain"), (change) => madeAgain(change, `new:${newKey().slice(0, 8)}`)]),
      ];
    }
    if (this.#conflict.op === "delete") {
      return [
        h("p", {}, t("iDelete", this.#who)),
        this.#buttons([t("dropMine"), () => null], [t("deleteAnyway"), (change) => merged(change, this.#conflict, new Map())]),
      ];
    }
    return this.#table();
  }

  #buttons(...choices: [string, (change: Change) => Change | null][]): HTMLElement {
    const buttons = choices.map(([text, make]) =>
      h("button", { type: "button", class: "text-button", onclick: () => this.#settle(make) }, text),
    );
    return h("div", { class: "row-of-buttons" }, ...buttons);
  }

  #table(): Node[] {
    const list = rows(this.#conflict);
    const take = h("button", { type: "button", class: "main-button", "data-do": "take" }, t("take"));
    const refresh = (): void => {
      take.disabled = !decided(list, this.#choices);
    };
    take.addEventListener("click", () => this.#settle((change) => merged(change, this.#conflict, this.#choices)));
    refresh();
    const head = h("tr", {}, ...[t("attribute"), t("base"), t("mine"), t("theirsBy", this.#who)].map((text) => h("th", { scope: "col" }, text)));
    const body = list.map((row) => this.#row(row, refresh));
    return [h("div", { class: "edit-table" }, h("table", {}, h("thead", {}, head), h("tbody", {}, ...body))), take];
  }

  #row(row: Row, refresh: () => void): HTMLElement {
    const layer = this.#editor.context.state.layers.get(this.#conflict.layer);
    const field = layer?.fields.find(({ name }) => name === row.name);
    const title = row.name === "geometry" ? t("vertices") : pick(field?.title) || row.name;
    const group = `conflict-${keyOf({ layer: this.#conflict.layer, id: String(this.#conflict.fid) })}-${row.name}`;
    const choice = (value: Choice, content: unknown): HTMLElement => {
      const input = h("input", { type: "radio", name: group, value, checked: row.choice === value });
      input.addEventListener("change", () => {
        this.#choices.set(row.name, value);
        refresh();
      });
      return h("td", {}, h("label", {}, input, this.#value(row.name, content, value)));
    };
    return h(
      "tr",
      { class: row.clash ? "clash" : null, "data-name": row.name, "aria-label": t("choose", { name: title }) },
      h("th", { scope: "row" }, title),
      h("td", {}, this.#value(row.name, row.base, null)),
      choice("mine", row.mine),
      choice("theirs", row.theirs),
    );
  }

  /** A value as text; a geometry as a button that shows it. */
  #value(name: string, value: unknown, whose: Choice | null): HTMLElement | string {
    if (value === null || value === undefined || value === "") return t("nothing");
    if (name !== "geometry") {
      const layer = this.#editor.context.state.layers.get(this.#conflict.layer);
      return formatValue(value, layer?.fields.find((field) => field.name === name));
    }
    const show = (): void => this.#editor.context.zoomTo(bounds(this.#editor.ground.onMap(value as Shape)), 19);
    const text = t(whose === "mine" ? "mineGeometry" : whose === "theirs" ? "theirGeometry" : "baseGeometry");
    return h("button", { type: "button", class: "text-button", onclick: show }, text);
  }

  #settle(make: (change: Change) => Change | null): void {
    const change = this.#change;
    if (!change) return;
    const made = make(change);
    const { judgement, pending } = this.#editor;
    const others = judgement?.kind === "conflict" ? judgement.conflicts.filter((one) => one !== this.#conflict) : [];
    pending.replace(keyOf(change), made);
    this.#editor.settled(others);
  }
}
