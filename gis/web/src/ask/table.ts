/** The rows of a layer in the selected area: sorted and filtered by the server, a page at a time. */
import type { Feature, FeatureCollection } from "geojson";
import { formatValue } from "../attributes.ts";
import type { PageContext } from "../context.ts";
import { h } from "../dom.ts";
import { formatDate, formatNumber, pick, texts } from "../i18n.ts";
import { getJson } from "../server.ts";
import type { Field, Layer } from "../types.ts";
import { type Area, type Comparison, comparisons, type Condition, itemsPath } from "./query.ts";
import { TEXTS } from "./texts.ts";

const t = texts(TEXTS);
const PAGE = 100;

interface Page extends FeatureCollection {
  numberMatched?: number;
  links?: { rel: string; href: string }[];
}

export class Table {
  readonly element = h("div", { class: "select-table" });
  readonly #context: PageContext;
  readonly #layer: Layer;
  readonly #area: Area;
  readonly #columns: readonly Field[];
  readonly #body = h("div", { class: "table-frame", tabindex: "0", role: "region" });
  readonly #pager = h("div", { class: "pager", role: "status" });
  #sort: { field: string; descending: boolean } | null = null;
  #condition: Condition | null = null;
  /** The addresses of the pages so far; the last is the one shown. */
  #pages: string[] = [];
  #request: AbortController | null = null;

  constructor(context: PageContext, layer: Layer, area: Area) {
    this.#context = context;
    this.#layer = layer;
    this.#area = area;
    // The fid stands before each row.
    this.#columns = layer.fields.filter(({ name }) => name !== "fid");
    this.#body.setAttribute("aria-label", pick(layer.title));
    this.element.append(this.#filterForm(), this.#body, this.#pager);
    this.#restart();
  }

  close(): void {
    this.#request?.abort();
  }

  #restart(): void {
    this.#pages = [
      itemsPath(this.#layer.id, this.#area, {
        limit: PAGE,
        sort: this.#sort,
        conditions: this.#condition ? [this.#condition] : [],
      }),
    ];
    void this.#load();
  }

  async #load(): Promise<void> {
    this.#request?.abort();
    const request = new AbortController();
    this.#request = request;
    this.#pager.replaceChildren(t("loading"));
    this.#body.setAttribute("aria-busy", "true");
    try {
      const page = await getJson<Page>(this.#pages.at(-1) ?? "", request.signal);
      if (!request.signal.aborted) this.#show(page);
    } catch (error) {
      if (request.signal.aborted) return;
      const reason = error instanceof Error ? error.message : String(error);
      const again = h("button", { type: "button", class: "text-button", onclick: () => void this.#load() }, t("retry"));
      this.#pager.replaceChildren(h("span", { class: "trouble-text" }, t("failed", { reason })), " ", again);
    } finally {
      if (this.#request === request) this.#body.removeAttribute("aria-busy");
    }
  }

  #show(page: Page): void {
    const heads = this.#columns.map((field) => this.#head(field));
    const rows = page.features.map((feature) => this.#row(feature));
    this.#body.replaceChildren(
      h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "#"), ...heads)), h("tbody", {}, ...rows)),
    );
    this.#body.scrollTop = 0;
    const from = (this.#pages.length - 1) * PAGE;
    const to = from + rows.length;
    const next = page.links?.find((link) => link.rel === "next")?.href;
    const count = page.numberMatched;
    const place = { from: formatNumber(from + 1, 0), to: formatNumber(to, 0) };
    const said =
      rows.length === 0
        ? t("noRows")
        : count === undefined
          ? t("rows", place)
          : t("ofRows", { ...place, count: formatNumber(count, 0) });
    const button = (key: "earlier" | "later", on: boolean, onclick: () => void): HTMLElement =>
      h("button", { type: "button", class: "small-button", disabled: !on, onclick }, t(key));
    this.#pager.replaceChildren(
      h("span", {}, said),
      button("earlier", this.#pages.length > 1, () => {
        this.#pages.pop();
        void this.#load();
      }),
      button("later", next !== undefined, () => {
        // A link of the server may name it by its public address; the page asks where it came from.
        const url = new URL(next ?? "", window.location.origin);
        this.#pages.push(url.pathname + url.search);
        void this.#load();
      }),
    );
  }

  #head(field: Field): HTMLElement {
    const sorted = this.#sort?.field === field.name ? this.#sort : null;
    const title = pick(field.title) || field.name;
    const sort = (): void => {
      this.#sort = sorted ? (sorted.descending ? null : { ...sorted, descending: true }) : { field: field.name, descending: false };
      this.#restart();
    };
    return h(
      "th",
      { scope: "col", "aria-sort": sorted ? (sorted.descending ? "descending" : "ascending") : "none" },
      h(
        "button",
        { type: "button", title: t("sortBy", { title }), onclick: sort },
        title,
        h("span", { "aria-hidden": "true" }, sorted ? (sorted.descending ? " ▼" : " ▲") : ""),
      ),
    );
  }

  #row(feature: Feature): HTMLElement {
    const properties = feature.properties ?? {};
    const fid = String(feature.id);
    const name = String(properties["asset_id"] ?? fid);
    const open = (): void => this.#context.openFeature(this.#layer.id, fid, { zoom: true });
    const cells = this.#columns.map((field) => {
      const value: unknown = properties[field.name];
      const number = typeof value === "number" && !field.domain;
      return h("td", number ? { class: "number" } : {}, cell(value, field));
    });
    const opener = h("button", { type: "button", class: "text-button", "aria-label": t("openRow", { name }), onclick: open }, fid);
    return h("tr", {}, h("th", { scope: "row" }, opener), ...cells);
  }

  #filterForm(): HTMLElement {
    const field = h("select", { class: "field", "aria-label": t("filterField") });
    for (const one of this.#columns) field.append(h("option", { value: one.name }, pick(one.title) || one.name));
    const kind = h("select", { class: "field", "aria-label": t("filterKind") });
    const value = h("span", { class: "filter-value" });
    const chosen = (): Field | undefined => this.#columns.find((one) => one.name === field.value);
    const fill = (): void => {
      const one = chosen();
      if (!one) return;
      kind.replaceChildren(...comparisons(one).map((name) => h("option", { value: name }, t(name))));
      value.replaceChildren(valueInput(one));
    };
    field.addEventListener("change", fill);
    kind.addEventListener("change", () => {
      value.hidden = kind.value === "isEmpty" || kind.value === "isFilled";
    });
    fill();
    const clear = h("button", { type: "button", class: "small-button", hidden: true }, t("noFilter"));
    const apply = (condition: Condition | null): void => {
      this.#condition = condition;
      clear.hidden = condition === null;
      this.#restart();
    };
    clear.addEventListener("click", () => apply(null));
    const submit = (event: Event): void => {
      event.preventDefault();
      const one = chosen();
      const typed = value.querySelector<HTMLInputElement | HTMLSelectElement>("input, select")?.value ?? "";
      if (one) apply({ field: one, comparison: kind.value as Comparison, value: typed });
    };
    return h(
      "form",
      { class: "table-filter", onsubmit: submit },
      field,
      kind,
      value,
      h("button", { type: "submit", class: "small-button" }, t("filter")),
      clear,
    );
  }
}

function cell(value: unknown, field: Field): string {
  if (value === null || value === undefined) return "";
  if (field.name === "updated_at" && typeof value === "string") return formatDate(value, true);
  return formatValue(value, field);
}

function valueInput(field: Field): HTMLElement {
  const label = { class: "field", "aria-label": t("filterValue") };
  const values = field.domain ?? (field.type === "boolean" ? [true, false].map((one) => ({ value: String(one), title: null })) : null);
  if (values) {
    const select = h("select", label);
    for (const { value, title } of values) {
      select.append(h("option", { value: String(value) }, title ? pick(title) : formatValue(value === "true", field)));
    }
    return select;
  }
  const type = field.type === "date" || field.type === "datetime" ? "date" : "text";
  return h("input", { ...label, type, autocomplete: "off", inputmode: type === "text" && field.type !== "string" ? "decimal" : "text" });
}
