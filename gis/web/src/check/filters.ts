/** By what findings are chosen, with how many there are of each. */
import type { PageContext } from "../context.ts";
import { h } from "../dom.ts";
import { formatNumber, pick, texts } from "../i18n.ts";
import type { Rule } from "./detail.ts";
import { type Filters, SEVERITIES, type State, STATES } from "./query.ts";
import { TEXTS } from "./texts.ts";

const t = texts(TEXTS);

interface Count {
  value: string | null;
  count: number;
}

/** What GET /findings/summary gives. */
export interface Summary {
  total: number;
  by: Record<"rule" | "severity" | "state" | "sheet" | "owner", Count[]>;
}

export function titleOf(rules: ReadonlyMap<string, Rule>, id: string): string {
  const rule = rules.get(id);
  return rule ? `${id} ${pick(rule.title)}` : id;
}

export class FilterBar {
  readonly element = h("div", { class: "check-filters" });
  readonly #context: PageContext;
  readonly #set: (change: Partial<Filters>) => void;

  constructor(context: PageContext, set: (change: Partial<Filters>) => void) {
    this.#context = context;
    this.#set = set;
  }

  show(filters: Filters, summary: Summary | null, rules: ReadonlyMap<string, Rule>): void {
    const { severity, state, rule, sheet, owner, inView, about, restricted } = filters;
    const by = summary?.by;
    const counts = new Map(by?.severity.map(({ value, count }) => [value, count]));
    const segment = (value: Filters["severity"], text: string): HTMLElement => {
      const count = value === null ? summary?.total : counts.get(value);
      const shown = severity === null && summary ? `${text} ${formatNumber(count ?? 0, 0)}` : text;
      const radio = h("input", { type: "radio", name: "check-severity", value: value ?? "", checked: severity === value, onchange: () => this.#set({ severity: value }) });
      return h("label", {}, radio, h("span", {}, shown));
    };
    const states = h("select", { class: "field", "aria-label": t("state") });
    for (const one of [...STATES, null]) {
      states.append(h("option", { value: one ?? "", selected: one === state }, t(one ?? "anyState")));
    }
    states.addEventListener("change", () => this.#set({ state: (states.value || null) as State | null }));
    const box = (on: boolean, text: string, change: (on: boolean) => void): HTMLElement => {
      const input = h("input", { type: "checkbox", checked: on });
      input.addEventListener("change", () => change(input.checked));
      return h("label", { class: "check-line" }, input, h("span", {}, text));
    };
    const focused = this.element.contains(document.activeElement) ? (document.activeElement as HTMLElement).getAttribute("aria-label") : null;
    this.element.replaceChildren(
      h("fieldset", { class: "segments", role: "radiogroup", "aria-label": t("severity") }, segment(null, t("all")), ...SEVERITIES.map((one) => segment(one, t(one)))),
      h(
        "div",
        { class: "filter-grid" },
        states,
        this.#facet("rule", by?.rule ?? [], rule, t("rule"), t("anyRule"), (value) => titleOf(rules, value)),
        this.#facet("sheet", by?.sheet ?? [], sheet, t("sheet"), t("anySheet"), (value) => value || t("noSheet")),
        this.#facet("owner", by?.owner ?? [], owner, t("owner"), t("anyOwner"), (value) => this.#agency(value)),
      ),
      box(inView, t("inView"), (on) => this.#set({ inView: on })),
      ...(this.#context.state.layers.has("finding_restricted")
        ? [box(restricted, t("restricted"), (on) => this.#set({ restricted: on }))]
        : []),
      ...(about
        ? [
            h(
              "p",
              { class: "tool-hint" },
              t("about", { name: `${pick(this.#context.state.layers.get(about.layer)?.title) || about.layer} ${about.fid}` }),
              " ",
              h("button", { type: "button", class: "text-button", onclick: () => this.#set({ about: null }) }, t("aboutAll")),
            ),
          ]
        : []),
    );
    if (focused) this.element.querySelector<HTMLElement>(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
  }

  #facet(
    key: "rule" | "sheet" | "owner",
    counts: readonly Count[],
    chosen: string | null,
    label: string,
    any: string,
    title: (value: string) => string,
  ): HTMLElement {
    const select = h("select", { class: "field", "aria-label": label });
    // An empty value stands for no condition; that there is no sheet is a value, too.
    select.append(h("option", { value: "any", selected: chosen === null }, any));
    const values = counts.map(({ value, count }) => ({ value: value ?? "", count }));
    if (chosen !== null && !values.some(({ value }) => value === chosen)) values.unshift({ value: chosen, count: 0 });
    for (const { value, count } of values) {
      select.append(h("option", { value: `=${value}`, selected: value === chosen }, `${title(value)} (${formatNumber(count, 0)})`));
    }
    select.addEventListener("change", () => {
      this.#set({ [key]: select.value === "any" ? null : select.value.slice(1) });
    });
    return select;
  }

  #agency(id: string): string {
    for (const layer of this.#context.state.layers.values()) if (layer.owner === id) return pick(layer.agency) || id;
    return id;
  }
}
