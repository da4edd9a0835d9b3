/** Filter and colours of one layer: conditions from its fields, and the field that it is coloured by. */
import type { PageContext } from "../context.ts";
import { h, iconButton } from "../dom.ts";
import { pick, texts } from "../i18n.ts";
import type { Field, Layer } from "../types.ts";
import { colourable, isGraduated, limitsOf, valuesOf } from "./colouring.ts";
import {
  type Condition,
  type Filter,
  filterable,
  filterZoom,
  notFilterable,
  MOST_CONDITIONS,
  type Operator,
  operatorsOf,
  takesValue,
} from "./filters.ts";
import { valuesInTiles } from "./in-view.ts";
import { TEXTS } from "./texts.ts";
import type { SeeView } from "./view.ts";

const t = texts(TEXTS);
const NEW: Filter = { all: true, conditions: [] };

export class LayerOptions {
  readonly element = h("div", { class: "see-options" });
  readonly #context: PageContext;
  readonly #view: SeeView;
  readonly #layer: Layer;
  readonly #filter = h("fieldset", {});
  readonly #colour = h("div", { class: "see-colour" });
  readonly #zoomNotes: (() => void)[] = [];

  constructor(context: PageContext, view: SeeView, layer: Layer) {
    this.#context = context;
    this.#view = view;
    this.#layer = layer;
    this.element.append(this.#colour, this.#filter, ...this.#others());
    this.#buildColour();
    this.#buildFilter();
  }

  /** After a move of the map: what tiles do not hold at this zoom is said. */
  zoomed(): void {
    for (const note of this.#zoomNotes) note();
  }

  #note(key: "filterZoom" | "colourZoom", zoom: () => number | null): HTMLElement {
    const note = h("p", { class: "see-note", role: "status" });
    const update = (): void => {
      const from = zoom();
      const missing = from !== null && this.#context.map.getZoom() < from;
      note.textContent = missing ? t(key, { zoom: from }) : "";
      note.hidden = !missing;
    };
    this.#zoomNotes.push(update);
    update();
    return note;
  }

  #buildColour(): void {
    const fields = colourable(this.#layer);
    if (fields.length === 0) {
      this.#colour.replaceChildren(h("p", { class: "tool-hint" }, t("noFields")));
      return;
    }
    const select = h("select", { class: "field" }, h("option", { value: "" }, t("ownColours")));
    select.append(...fields.map((field) => h("option", { value: field.name }, pick(field.title))));
    select.value = this.#view.colouring(this.#layer.id)?.field ?? "";
    const anew = h("button", { type: "button", class: "text-button" }, t("classesAnew"));
    const choose = (): void => {
      const field = fields.find(({ name }) => name === select.value);
      this.#view.setColouring(this.#layer.id, field ? this.#classes(field) : null);
      anew.hidden = !field || (!isGraduated(field) && (field.domain !== null || field.type === "boolean"));
      this.zoomed();
    };
    select.addEventListener("change", choose);
    anew.addEventListener("click", choose);
    const chosen = fields.find(({ name }) => name === select.value);
    anew.hidden = !chosen || chosen.domain !== null || chosen.type === "boolean";
    this.#colour.replaceChildren(
      h("label", { class: "see-row" }, h("span", {}, t("colourBy")), select),
      anew,
      this.#note("colourZoom", () => this.#chosenField()?.from_zoom ?? null),
    );
  }

  #chosenField(): Field | null {
    const colouring = this.#view.colouring(this.#layer.id);
    return colouring ? this.#view.field(this.#layer, colouring.field) : null;
  }

  #classes(field: Field): { field: string; limits: number[]; values: string[] } {
    const listed = field.domain !== null || field.type === "boolean";
    const { numbers, texts: found } = listed
      ? { numbers: [], texts: [] }
      : valuesInTiles(this.#context.map, this.#layer, field.name);
    return { field: field.name, limits: limitsOf(numbers), values: valuesOf(found) };
  }

  #change(filter: Filter, focus?: string): void {
    this.#view.setFilter(this.#layer.id, filter.conditions.length > 0 ? filter : null);
    this.#buildFilter();
    if (focus) this.element.querySelector<HTMLElement>(focus)?.focus();
    this.zoomed();
  }

  #buildFilter(): void {
    const fields = filterable(this.#layer);
    const filter = this.#view.filter(this.#layer.id) ?? NEW;
    const [first] = fields;
    this.#filter.replaceChildren(h("legend", {}, t("filter")));
    this.#filter.hidden = !first;
    if (!first) return;
    const { conditions } = filter;
    if (conditions.length > 1) this.#filter.append(this.#join(filter));
    this.#filter.append(...conditions.map((condition, i) => this.#condition(filter, condition, i, fields)));
    const add = (): void => {
      const operator = operatorsOf(first)[0] ?? "is";
      const more = [...conditions, { field: first.name, operator, value: "" }];
      this.#change({ ...filter, conditions: more }, `.see-condition:nth-of-type(${more.length}) select`);
    };
    const buttons = h("div", { class: "buttons" });
    if (conditions.length < MOST_CONDITIONS) {
      buttons.append(h("button", { type: "button", class: "small-button", onclick: add }, t("addCondition")));
    }
    if (conditions.length > 0) {
      const clear = (): void => this.#change(NEW, ".buttons button");
      buttons.append(h("button", { type: "button", class: "small-button", onclick: clear }, t("clearFilter")));
    }
    this.#filter.append(
      buttons,
      this.#note("filterZoom", () => filterZoom(this.#view.filter(this.#layer.id) ?? NEW, this.#layer)),
    );
  }

  /** What cannot be asked on the map, and where it can be. */
  #others(): HTMLElement[] {
    const fields = notFilterable(this.#layer);
    if (fields.length === 0) return [];
    const go = (): void => void this.#context.openTool("select");
    return [
      h(
        "details",
        { class: "see-others" },
        h("summary", {}, t("notInTiles", { count: fields.length })),
        h("p", {}, fields.map((field) => pick(field.title)).join(", ")),
        h("p", {}, t("notInTilesHint")),
        h("button", { type: "button", class: "small-button", onclick: go }, t("openSelect")),
      ),
    ];
  }

  #join(filter: Filter): HTMLElement {
    const select = h("select", { class: "field", "aria-label": t("join") });
    select.append(h("option", { value: "all" }, t("joinAll")), h("option", { value: "any" }, t("joinAny")));
    select.value = filter.all ? "all" : "any";
    select.addEventListener("change", () => this.#change({ ...filter, all: select.value === "all" }));
    return select;
  }

  #condition(filter: Filter, condition: Condition, at: number, fields: readonly Field[]): HTMLElement {
    const field = fields.find(({ name }) => name === condition.field) ?? fields[0];
    const replace = (changed: Condition | null, focus?: string): void => {
      const conditions = filter.conditions.flatMap((one, i) => (i === at ? (changed ? [changed] : []) : [one]));
      this.#change({ ...filter, conditions }, focus);
    };
    const place = `.see-condition:nth-of-type(${at + 1})`;
    const which = h("select", { class: "field", "aria-label": t("field") });
    which.append(...fields.map((one) => h("option", { value: one.name }, pick(one.title))));
    which.value = field?.name ?? "";
    which.addEventListener("change", () => {
      const next = fields.find(({ name }) => name === which.value);
      const operator = next ? (operatorsOf(next)[0] ?? "is") : "is";
      replace({ field: which.value, operator, value: "" }, `${place} select`);
    });
    const how = h("select", { class: "field", "aria-label": t("operator") });
    how.append(...(field ? operatorsOf(field) : []).map((one) => h("option", { value: one }, t(one))));
    how.value = condition.operator;
    how.addEventListener("change", () =>
      replace({ ...condition, operator: how.value as Operator }, `${place} select:nth-of-type(2)`),
    );
    const value = field && takesValue(condition.operator) ? this.#value(field, condition) : null;
    const set = (): void => {
      if (!value || value.value === condition.value) return;
      // The row is not built anew, so that typing goes on; the filter follows.
      condition.value = value.value;
      this.#view.setFilter(this.#layer.id, { ...filter, conditions: [...filter.conditions] });
      this.zoomed();
    };
    value?.addEventListener(value instanceof HTMLSelectElement ? "change" : "input", set);
    const remove = iconButton("close", t("removeCondition"), () => replace(null, ".buttons button"), {
      class: "icon-button",
    });
    return h("div", { class: "see-condition", role: "group" }, which, how, value ?? false, remove);
  }

  #value(field: Field, condition: Condition): HTMLInputElement | HTMLSelectElement {
    if (field.domain || field.type === "boolean") {
      const select = h("select", { class: "field", "aria-label": t("value") }, h("option", { value: "" }, t("choose")));
      const options = field.domain
        ? field.domain.map(({ value, title }) => ({ value: String(value), title: pick(title) }))
        : (["true", "false"] as const).map((value) => ({ value, title: t(value === "true" ? "yes" : "no") }));
      select.append(...options.map(({ value, title }) => h("option", { value }, title)));
      select.value = condition.value;
      return select;
    }
    const type = field.type === "date" || field.type === "datetime" ? "date" : "text";
    const numeric = field.type === "integer" || field.type === "number";
    const label = field.unit ? `${t("value")} (${field.unit})` : t("value");
    const input = h("input", {
      type,
      class: "field",
      maxlength: 100,
      "aria-label": label,
      placeholder: field.unit ?? "",
      inputmode: numeric ? "decimal" : "text",
    });
    input.value = condition.value;
    return input;
  }
}
