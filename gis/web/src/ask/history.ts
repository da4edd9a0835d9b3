/** The versions of a feature: who changed what, when and why; a former geometry can be seen on the map. */
import type { Feature, FeatureCollection, Geometry } from "geojson";
import { formatValue } from "../attributes.ts";
import type { PageContext } from "../context.ts";
import { h } from "../dom.ts";
import { setHighlight } from "../highlight.ts";
import type { Found } from "../identify.ts";
import { formatDate, formatNumber, onLanguage, pick, texts } from "../i18n.ts";
import { getJson, ServerError } from "../server.ts";
import type { Layer } from "../types.ts";
import { type Change, changesOf } from "./versions.ts";
import { TEXTS } from "./texts.ts";
import "../tools.css";
import "./ask.css";

const t = texts(TEXTS);

interface Step {
  op: "create" | "restore" | "update" | "delete";
  at: string;
  author: string;
  agency: string | null;
  kind: string;
  comment: string | null;
  source: string | null;
}

interface Version extends Feature {
  version: number;
  valid_from: string;
  valid_to: string | null;
  made: Step | null;
  ended: Step | null;
}

interface Versions extends FeatureCollection {
  features: Version[];
  links: { rel: string; href: string }[];
}

let present: History | null = null;
let listening = false;

export async function show(context: PageContext, feature: Found, full: Feature): Promise<void> {
  const name = String(full.properties?.["asset_id"] ?? feature.fid);
  const history = new History(context, feature);
  context.dock.show(() => t("history", { name }), history.element, () => {
    if (present === history) present = null;
    history.close();
  });
  present = history;
  if (!listening) {
    listening = true;
    onLanguage(() => present?.build());
  }
  await history.load(`/collections/${feature.layer.id}/items/${encodeURIComponent(feature.fid)}/history?limit=50`);
}

class History {
  readonly element = h("div", { class: "versions", "aria-live": "polite" });
  readonly #context: PageContext;
  readonly #layer: Layer;
  readonly #request = new AbortController();
  #versions: Version[] = [];
  #next: string | null = null;
  #failure: { text: string; path: string } | null = null;
  #loading = true;

  constructor(context: PageContext, feature: Found) {
    this.#context = context;
    this.#layer = feature.layer;
    this.build();
  }

  close(): void {
    this.#request.abort();
  }

  async load(path: string): Promise<void> {
    this.#loading = true;
    this.#failure = null;
    this.build();
    try {
      const page = await getJson<Versions>(path, this.#request.signal);
      this.#versions.push(...page.features);
      const next = page.links.find((link) => link.rel === "next")?.href;
      const url = next ? new URL(next, window.location.origin) : null;
      this.#next = url ? url.pathname + url.search : null;
    } catch (error) {
      if (this.#request.signal.aborted) return;
      const off = error instanceof ServerError && error.status === 404;
      const reason = error instanceof Error ? error.message : String(error);
      this.#failure = { text: off ? t("historyOff") : t("failed", { reason }), path };
    }
    this.#loading = false;
    this.build();
  }

  build(): void {
    const entries = this.#versions.flatMap((version, at) => this.#entries(version, this.#versions[at + 1]));
    const { path } = this.#failure ?? { path: "" };
    const more = this.#next;
    this.element.replaceChildren(
      ...entries,
      ...(this.#loading ? [h("p", { class: "tool-hint" }, t("loading"))] : []),
      ...(this.#failure
        ? [
            h(
              "p",
              { class: "trouble-text", role: "alert" },
              this.#failure.text,
              " ",
              h("button", { type: "button", class: "text-button", onclick: () => void this.load(path) }, t("retry")),
            ),
          ]
        : []),
      ...(!this.#loading && !this.#failure && entries.length === 0 ? [h("p", { class: "tool-hint" }, t("historyNone"))] : []),
      ...(more && !this.#loading
        ? [h("button", { type: "button", class: "small-button", onclick: () => void this.load(more) }, t("older"))]
        : []),
    );
  }

  #entries(version: Version, older: Version | undefined): HTMLElement[] {
    const entries: HTMLElement[] = [];
    if (version.ended?.op === "delete") entries.push(this.#deleted(version.ended));
    const op = version.made ? t(version.made.op) : t("loaded");
    const geometry = version.geometry as Geometry | null;
    const standing = version.valid_to === null;
    const until = standing ? t("now") : t("until", { time: formatDate(version.valid_to ?? "", true) });
    const changes = older ? changesOf(version, older, this.#layer) : null;
    const entry = h(
      "article",
      { class: standing ? "version-entry now" : "version-entry" },
      h("h3", {}, `${t("versionLine", { version: formatNumber(version.version, 0) })} · ${op}`),
      h("small", {}, `${formatDate(version.valid_from, true)} – ${until}`),
      ...this.#why(version.made),
      changes ? this.#changes(changes) : null,
      geometry && !standing
        ? h(
            "button",
            { type: "button", class: "text-button", onclick: () => setHighlight(this.#context.map, geometry, null) },
            t("showVersion"),
          )
        : null,
    );
    entries.push(entry);
    return entries;
  }

  #deleted(step: Step): HTMLElement {
    return h(
      "article",
      { class: "version-entry" },
      h("h3", {}, t("delete")),
      h("small", {}, formatDate(step.at, true)),
      ...this.#why(step),
    );
  }

  #why(step: Step | null): HTMLElement[] {
    if (!step) return [];
    const agency = step.agency ? ` (${step.agency})` : "";
    const lines = [t("by", { author: step.author }) + agency, step.comment ?? "", step.source ?? ""];
    return lines.filter((line) => line !== "").map((line) => h("small", {}, line));
  }

  #changes(changes: readonly Change[]): HTMLElement {
    if (changes.length === 0) return h("small", {}, t("noChange"));
    const value = (one: unknown, change: Change): string =>
      one === null || one === undefined || one === "" ? "–" : formatValue(one, change.field ?? undefined);
    return h(
      "dl",
      {},
      ...changes.flatMap((change) => [
        h("dt", {}, change.name === "geometry" ? t("geometry") : pick(change.field?.title) || change.name),
        change.name === "geometry"
          ? h("dd", {}, t("changed"))
          : h("dd", {}, h("del", {}, value(change.old, change)), " → ", h("ins", {}, value(change.new, change))),
      ]),
    );
  }
}
