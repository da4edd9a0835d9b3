/** The findings of the checks: which there are, one after the other, and what to do about each (`check=`). */
import type { Feature, FeatureCollection } from "geojson";
import type { PageContext, ToolPanel } from "../context.ts";
import { visibleBox } from "../cover.ts";
import { h, iconButton } from "../dom.ts";
import { formatNumber, language, onLanguage, texts } from "../i18n.ts";
import type { Found } from "../identify.ts";
import { getJson } from "../server.ts";
import type { Box } from "../types.ts";
import { Detail, type Rule } from "./detail.ts";
import { FilterBar, type Summary, titleOf } from "./filters.ts";
import {
  collectionOf,
  DEFAULTS,
  type Filters,
  listPath,
  readFilters,
  summaryPath,
  writeFilters,
} from "./query.ts";
import { TEXTS } from "./texts.ts";
import "../tools.css";
import "./check.css";

const t = texts(TEXTS);
const PAGE = 50;

interface Page extends FeatureCollection {
  numberMatched?: number;
  links?: { rel: string; href: string }[];
}

let present: Check | null = null;
let listening = false;
let said: string | null = null;
/** The rules do not change while the page is open. */
let rules: Promise<ReadonlyMap<string, Rule>> | null = null;

function loadRules(): Promise<ReadonlyMap<string, Rule>> {
  rules ??= getJson<{ rules: Rule[] }>("/rules").then(
    (answer) => new Map(answer.rules.map((rule) => [rule.id, rule])),
    (error: unknown) => {
      // Findings can be read without: they are asked for again next time.
      console.warn(error);
      rules = null;
      return new Map<string, Rule>();
    },
  );
  return rules;
}

export function open(context: PageContext): ToolPanel {
  return openWith(context, said ?? context.link.text("check") ?? "");
}

/** The findings that name a feature, from its card. */
export async function openAbout(context: PageContext, feature: Found): Promise<void> {
  said = writeFilters({ ...DEFAULTS, state: null, about: { layer: feature.layer.id, fid: feature.fid } }, null);
  if (present) present.read(said);
  else await context.openTool("check");
}

function openWith(context: PageContext, text: string): ToolPanel {
  present = new Check(context, text);
  if (!listening) {
    listening = true;
    onLanguage(() => present?.build());
    context.session.onChange(() => present?.again());
    // What the tool was opened for goes before what the link said when the page was loaded.
    let opened = said !== null;
    context.link.register("check", {
      read: (text) => {
        if (opened) opened = false;
        else if (present) present.read(text ?? "");
        else said = text;
      },
      write: () => (present ? present.write() || null : null),
    });
  }
  return present;
}

class Check implements ToolPanel {
  readonly element = h("div", { class: "check" });
  readonly #context: PageContext;
  readonly #filterBar: FilterBar;
  readonly #count = h("p", { class: "tool-hint", role: "status" });
  readonly #list = h("ol", { class: "check-list" });
  readonly #more = h("button", { type: "button", class: "small-button", hidden: true, onclick: () => void this.#page() });
  readonly #stepper = h("div", { class: "stepper", role: "group" });
  #filters: Filters;
  #summary: Summary | null = null;
  #rules: ReadonlyMap<string, Rule> = new Map();
  #found: Feature[] = [];
  #total: number | null = null;
  #next: string | null = null;
  #at = -1;
  /** A finding that the link names, to be opened when its list is here. */
  #wanted: string | null;
  #detail: Detail | null = null;
  #request = new AbortController();
  #moved = 0;

  constructor(context: PageContext, text: string) {
    this.#context = context;
    this.#filterBar = new FilterBar(context, (change) => this.#set(change));
    const { filters, finding } = readFilters(text);
    this.#filters = filters;
    this.#wanted = finding;
    this.#list.addEventListener("keydown", (event) => this.#keys(event));
    this.build();
    void loadRules().then((found) => {
      this.#rules = found;
      this.build();
    });
    context.map.on("moveend", this.#follow);
    this.refresh();
  }

  close(): void {
    said = this.write();
    this.#request.abort();
    window.clearTimeout(this.#moved);
    this.#context.map.off("moveend", this.#follow);
    this.#detail?.close();
    present = null;
  }

  write(): string {
    const open = this.#found[this.#at];
    return writeFilters(this.#filters, this.#at >= 0 && open ? String(open.id) : null);
  }

  read(text: string): void {
    if (text === this.write()) return;
    const { filters, finding } = readFilters(text);
    this.#filters = filters;
    this.#wanted = finding;
    this.refresh();
  }

  /** Somebody logged in or out: what is listed and allowed is another, the open finding stays open. */
  again(): void {
    const open = this.#found[this.#at];
    this.#wanted = open ? String(open.id) : null;
    this.refresh();
  }

  /** Asks again: filters, rights or findings changed. */
  refresh(): void {
    this.#request.abort();
    this.#request = new AbortController();
    this.#leave();
    [this.#found, this.#next, this.#total] = [[], null, null];
    this.#context.link.changed();
    this.build();
    void this.#counts();
    void this.#page();
  }

  build(): void {
    this.#buildFilters();
    this.#buildList();
    this.#detail?.build();
    this.#buildStepper();
    this.#more.textContent = t("more");
    this.#list.setAttribute("aria-label", t("list"));
    const open = this.#detail;
    this.element.replaceChildren(
      ...(open ? [this.#stepper, open.element] : [this.#filterBar.element, this.#count, this.#list, this.#more]),
    );
  }

  #view(): Box {
    return visibleBox(this.#context.map);
  }

  /** With "in view" the list follows the map, but not while one steps through it. */
  readonly #follow = (): void => {
    if (!this.#filters.inView || this.#detail) return;
    window.clearTimeout(this.#moved);
    this.#moved = window.setTimeout(() => this.refresh(), 300);
  };

  async #counts(): Promise<void> {
    try {
      const { signal } = this.#request;
      this.#summary = await getJson<Summary>(summaryPath(this.#filters, this.#view()), signal);
      if (!signal.aborted) this.#buildFilters();
    } catch (error) {
      console.warn(error); // the list says what is wrong
    }
  }

  async #page(): Promise<void> {
    const { signal } = this.#request;
    this.#more.hidden = true;
    this.#count.className = "tool-hint";
    this.#count.textContent = t("loading");
    try {
      const path = this.#next ?? listPath(this.#filters, this.#view(), PAGE);
      const page = await getJson<Page>(path, signal);
      if (signal.aborted) return;
      this.#found.push(...page.features);
      this.#total = page.numberMatched ?? this.#total;
      const next = page.links?.find((link) => link.rel === "next")?.href;
      const url = next ? new URL(next, window.location.origin) : null;
      this.#next = url ? url.pathname + url.search : null;
      this.#buildList();
      this.#buildStepper();
      await this.#openWanted(signal);
    } catch (error) {
      if (signal.aborted) return;
      const reason = error instanceof Error ? error.message : String(error);
      const again = h("button", { type: "button", class: "text-button", onclick: () => void this.#page() }, t("retry"));
      this.#count.className = "trouble-text";
      this.#count.replaceChildren(t("failed", { reason }), " ", again);
    }
  }

  async #openWanted(signal: AbortSignal): Promise<void> {
    const wanted = this.#wanted;
    this.#wanted = null;
    if (wanted === null) return;
    let at = this.#found.findIndex((one) => String(one.id) === wanted);
    if (at < 0) {
      // Further down the list, or no longer in it: it is shown first.
      const path = `/collections/${collectionOf(this.#filters)}/items/${wanted}`;
      this.#found.unshift(await getJson<Feature>(path, signal));
      at = 0;
    }
    this.#open(at);
  }

  #set(change: Partial<Filters>): void {
    this.#filters = { ...this.#filters, ...change };
    this.refresh();
  }

  #buildFilters(): void {
    this.#filterBar.show(this.#filters, this.#summary, this.#rules);
  }

  #buildList(): void {
    const count = this.#total ?? this.#found.length;
    this.#count.className = "tool-hint";
    this.#count.textContent = this.#found.length === 0 ? t("none") : t("count", { count: formatNumber(count, 0) });
    this.#more.hidden = this.#next === null;
    this.#list.replaceChildren(
      ...this.#found.map((finding, at) => {
        const values = finding.properties ?? {};
        const severity = String(values["severity"]);
        const text = String(values[language() === "vi" ? "message_vi" : "message_en"] ?? values["message_vi"] ?? "");
        return h(
          "li",
          {},
          h(
            "button",
            { type: "button", class: "check-item", onclick: () => this.#open(at) },
            h("span", { class: `severity severity-${/^[EWI]$/.test(severity) ? severity : "I"}` }, severity),
            h("span", { class: "title" }, h("strong", {}, titleOf(this.#rules, String(values["rule"]))), h("small", {}, text)),
          ),
        );
      }),
    );
  }

  #keys(event: KeyboardEvent): void {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const buttons = [...this.#list.querySelectorAll<HTMLElement>(".check-item")];
    const at = buttons.indexOf(document.activeElement as HTMLElement);
    buttons[Math.min(buttons.length - 1, Math.max(0, at + step))]?.focus();
    event.preventDefault();
  }

  #buildStepper(): void {
    const count = Math.max(this.#total ?? 0, this.#found.length);
    this.#stepper.setAttribute("aria-label", t("list"));
    const previous = iconButton("back", t("previous"), () => this.#open(this.#at - 1), { class: "icon-button step", "data-step": "-1" });
    const next = iconButton("chevron", t("next"), () => void this.#stepOn(), { class: "icon-button step", "data-step": "1" });
    previous.disabled = this.#at <= 0;
    next.disabled = this.#at >= this.#found.length - 1 && this.#next === null;
    const focused = this.#stepper.contains(document.activeElement) ? (document.activeElement as HTMLElement).dataset["step"] : undefined;
    this.#stepper.replaceChildren(
      h("button", { type: "button", class: "text-button", onclick: () => this.#backToList() }, `‹ ${t("back")}`),
      h("span", { class: "place" }, t("place", { at: formatNumber(this.#at + 1, 0), count: formatNumber(count, 0) })),
      previous,
      next,
    );
    if (focused) this.#stepper.querySelector<HTMLElement>(`[data-step="${CSS.escape(focused)}"]`)?.focus();
  }

  async #stepOn(): Promise<void> {
    if (this.#at === this.#found.length - 1 && this.#next !== null) await this.#page();
    if (this.#at < this.#found.length - 1) this.#open(this.#at + 1);
  }

  #open(at: number): void {
    const finding = this.#found[at];
    if (!finding) return;
    // Building anew takes the stepper off the page for a moment, and the focus from its buttons.
    const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset["step"] : undefined;
    const step = this.#detail === null ? "1" : focused;
    this.#detail?.close();
    this.#at = at;
    this.#detail = new Detail(this.#context, finding, collectionOf(this.#filters), this.#rules, () => void this.#counts());
    this.build();
    if (step) this.#stepper.querySelector<HTMLElement>(`[data-step="${CSS.escape(step)}"]`)?.focus();
    this.#context.link.changed();
  }

  #leave(): void {
    this.#detail?.close();
    this.#detail = null;
    this.#at = -1;
  }

  #backToList(): void {
    const at = this.#at;
    this.#leave();
    this.build();
    this.#list.querySelectorAll<HTMLElement>(".check-item")[at]?.focus();
    this.#context.link.changed();
  }
}
