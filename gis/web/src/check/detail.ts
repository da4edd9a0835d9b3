/** One finding: what is wrong, why, what is suggested, and what those may do about it who may. */
import type { Feature, FeatureCollection, Geometry } from "geojson";
import { bounds } from "../bounds.ts";
import type { PageContext } from "../context.ts";
import { h } from "../dom.ts";
import { formatDate, formatNumber, language, pick, texts } from "../i18n.ts";
import { api, apiJson, getJson } from "../server.ts";
import type { Box, Text } from "../types.ts";
import { type Named, namedFeatures } from "./query.ts";
import { drawFinding, shaped } from "./shapes.ts";
import { TEXTS } from "./texts.ts";

const t = texts(TEXTS);
/** Features whose geometry is fetched to be drawn. */
const MOST_DRAWN = 6;
const ZOOM = 19;

export interface Rule {
  id: string;
  title: Text;
  explanation: Text;
  source: string;
  parameters: { name: string; title: Text; unit: string; default: unknown }[];
}

interface Item extends Feature {
  links?: { rel: string; href: string }[];
}

interface MendProperties {
  layer: string;
  fid: number;
  asset_id: string;
  action: "change" | "split" | "delete";
  moved_m: number;
  part: number;
}

export class Detail {
  readonly element = h("div", { class: "finding", "aria-live": "polite" });
  readonly #context: PageContext;
  readonly #collection: string;
  readonly #rules: ReadonlyMap<string, Rule>;
  readonly #changed: () => void;
  readonly #request = new AbortController();
  #finding: Feature;
  #mends: Feature[] | null = null;
  #said = "";
  /** The parts that the reader unfolded stay so when the rest arrives. */
  readonly #unfolded = new Set<string>();
  #failure = "";

  /** `changed`: the finding was accepted, opened again or mended. */
  constructor(
    context: PageContext,
    finding: Feature,
    collection: string,
    rules: ReadonlyMap<string, Rule>,
    changed: () => void,
  ) {
    this.#context = context;
    this.#finding = finding;
    this.#collection = collection;
    this.#rules = rules;
    this.#changed = changed;
    this.build();
    void this.#load().catch((error: unknown) => {
      if (!this.#request.signal.aborted) this.#fail(error);
    });
  }

  close(): void {
    this.#request.abort();
    drawFinding(this.#context.map, []);
  }

  get #properties(): Record<string, unknown> {
    return this.#finding.properties ?? {};
  }

  get #path(): string {
    return `/collections/${this.#collection}/items/${encodeURIComponent(String(this.#finding.id))}`;
  }

  /** The place at once; the features and the mend when they are here. */
  async #load(): Promise<void> {
    const shapes: Feature[] = [];
    const draw = (): void => drawFinding(this.#context.map, shapes);
    const place = this.#finding.geometry as Geometry | null;
    if (place) {
      shapes.push(shaped("place", place));
      draw();
      this.#context.zoomTo(padded(bounds(place)), ZOOM);
    }
    const { signal } = this.#request;
    const item = await getJson<Item>(this.#path, signal);
    this.#finding = { ...this.#finding, properties: item.properties };
    const named = namedFeatures(this.#properties["features"]);
    const known = named.filter(({ layer }) => this.#context.state.layers.has(layer)).slice(0, MOST_DRAWN);
    const features = await Promise.allSettled(
      known.map(({ layer, fid }) => getJson<Feature>(`/collections/${layer}/items/${fid}`, signal)),
    );
    for (const found of features) {
      if (found.status === "fulfilled" && found.value.geometry) shapes.unshift(shaped("feature", found.value.geometry));
    }
    const suggested = item.links?.some(({ rel }) => rel === "related");
    this.#mends = suggested ? (await getJson<FeatureCollection>(`${this.#path}/mend`, signal)).features : [];
    for (const mend of this.#mends) {
      if (mend.geometry) shapes.push(shaped("mend", mend.geometry));
    }
    if (signal.aborted) return;
    draw();
    this.build();
  }

  build(): void {
    const values = this.#properties;
    const rule = this.#rules.get(String(values["rule"]));
    const severity = String(values["severity"]);
    const said = values[language() === "vi" ? "message_vi" : "message_en"] ?? values["message_vi"];
    const figures: [string, string][] = [];
    for (const [key, name] of [
      ["measured", "value"],
      ["limit", "limit_value"],
    ] as const) {
      const value = values[name];
      if (typeof value === "number") figures.push([t(key), `${formatNumber(value)} ${String(values["unit"] ?? "")}`.trim()]);
    }
    if (values["sheet"]) figures.push([t("sheet"), String(values["sheet"])]);
    for (const [key, name] of [
      ["firstSeen", "first_seen"],
      ["lastSeen", "last_seen"],
    ] as const) {
      const value = values[name];
      if (typeof value === "string") figures.push([t(key), formatDate(value, true)]);
    }
    this.element.replaceChildren(
      h("h3", {}, h("span", { class: `severity severity-${/^[EWI]$/.test(severity) ? severity : "I"}` }, severity), ` ${String(values["rule"] ?? "")} `, rule ? pick(rule.title) : ""),
      h("p", { class: "finding-message" }, String(said ?? "")),
      h("dl", { class: "finding-figures" }, ...figures.flatMap(([head, value]) => [h("dt", {}, head), h("dd", {}, value)])),
      ...this.#features(),
      ...(rule ? [this.#explanation(rule)] : []),
      ...this.#mend(),
      ...this.#acceptance(),
      h("p", { class: this.#failure ? "trouble-text" : "tool-hint", role: "status" }, this.#failure || this.#said),
    );
  }

  #folded(key: "whyRule" | "accept", ...content: HTMLElement[]): HTMLElement {
    const part = h("details", { open: this.#unfolded.has(key) }, h("summary", {}, t(key)), ...content);
    part.addEventListener("toggle", () => (part.open ? this.#unfolded.add(key) : this.#unfolded.delete(key)));
    return part;
  }

  #features(): HTMLElement[] {
    const named = namedFeatures(this.#properties["features"]);
    if (named.length === 0) return [];
    const item = (one: Named): HTMLElement => {
      const layer = this.#context.state.layers.get(one.layer);
      const title = layer ? pick(layer.title) : one.layer;
      const text = `${title} ${one.asset_id}`;
      if (!layer) return h("li", {}, text);
      const open = (): void => this.#context.openFeature(one.layer, one.fid);
      const label = t("openFeature", { layer: title, name: one.asset_id });
      return h("li", {}, h("button", { type: "button", class: "text-button", "aria-label": label, onclick: open }, text));
    };
    return [h("h4", {}, t("features")), h("ul", {}, ...named.slice(0, 20).map(item))];
  }

  #explanation(rule: Rule): HTMLElement {
    return this.#folded(
      "whyRule",
      h("p", {}, pick(rule.explanation)),
      ...rule.parameters.map((one) =>
        h("p", { class: "tool-hint" }, `${pick(one.title)}: ${String(one.default ?? "–")} ${one.unit}`.trim()),
      ),
      h("p", { class: "tool-hint" }, t("source", { source: rule.source })),
      h(
        "a",
        { class: "text-button", href: `/rules/${encodeURIComponent(rule.id)}?f=html&lang=${language()}`, target: "_blank", rel: "noopener" },
        t("ruleDocument", { rule: rule.id }),
      ),
    );
  }

  #mend(): HTMLElement[] {
    if (this.#mends === null) return [];
    if (this.#properties["state"] === "mended") return [];
    if (this.#mends.length === 0) return [h("p", { class: "tool-hint" }, t("noMend"))];
    const mends = this.#mends.map((one) => one.properties as MendProperties).filter((one) => one.part === 0);
    const lines = mends.map((one) => {
      const name = `${pick(this.#context.state.layers.get(one.layer)?.title) || one.layer} ${one.asset_id}`;
      if (one.action === "delete") return t("mendDelete", { name });
      if (one.action === "split") return t("mendSplit", { name });
      return t("mendChange", { name, moved: formatNumber(one.moved_m, 3) });
    });
    const parts: HTMLElement[] = [
      h("h4", {}, t("mend")),
      ...lines.map((line) => h("p", {}, line)),
      h("p", { class: "tool-hint" }, t("mendShown")),
    ];
    const { session } = this.#context;
    if (mends.every(({ layer }) => session.editable(layer) !== null)) {
      const comment = h("input", { type: "text", class: "field", maxlength: 500, "aria-label": t("comment"), placeholder: t("comment") });
      parts.push(
        h(
          "form",
          { class: "one-line", onsubmit: (event) => void this.#send(event, () => this.#apply(comment.value)) },
          comment,
          h("button", { type: "submit", class: "small-button primary" }, t("apply")),
        ),
      );
    }
    return parts;
  }

  #acceptance(): HTMLElement[] {
    const values = this.#properties;
    const parts: HTMLElement[] = [];
    if (values["state"] === "accepted") {
      const day = values["accepted_until"];
      const until = typeof day === "string" ? ` (${t("acceptedUntil", { day: formatDate(day, false) })})` : "";
      parts.push(h("p", {}, t("acceptedBecause", { reason: String(values["accepted_reason"] ?? "") }) + until));
    }
    const { session } = this.#context;
    if (!session.isSteward()) {
      if (!session.me) parts.push(h("p", { class: "tool-hint" }, t("loginToAct")));
      return parts;
    }
    const ids = [String(values["asset_id"])];
    if (values["state"] === "accepted") {
      const reopen = (event: Event): void => void this.#send(event, () => this.#say("/findings/reopen", { ids }));
      parts.push(h("button", { type: "button", class: "small-button", onclick: reopen }, t("reopen")));
    }
    if (values["state"] !== "open") return parts;
    const reason = h("textarea", { class: "field", rows: 2, maxlength: 1000, required: true, placeholder: t("reasonHint") });
    const until = h("input", { type: "date", class: "field" });
    const accept = (event: Event): void =>
      void this.#send(event, () =>
        this.#say("/findings/accept", { ids, reason: reason.value, until: until.value || null }),
      );
    parts.push(
      this.#folded(
        "accept",
        h(
          "form",
          { class: "accept-form", onsubmit: accept },
          h("label", {}, h("span", {}, t("reason")), reason),
          h("label", {}, h("span", {}, t("until")), until),
          h("button", { type: "submit", class: "small-button primary" }, t("accept")),
        ),
      ),
    );
    return parts;
  }

  async #apply(comment: string): Promise<string> {
    const finding = String(this.#properties["asset_id"]);
    const json = { finding, ...(comment.trim() ? { comment: comment.trim() } : {}) };
    const made = await apiJson<{ id: number }>("/operations/mend", { method: "POST", json, timeout: 60_000 });
    this.#context.refreshTiles();
    return t("applied", { id: made.id });
  }

  async #say(path: string, json: object): Promise<string> {
    await api(path, { method: "POST", json });
    return t("done");
  }

  async #send(event: Event, work: () => Promise<string>): Promise<void> {
    event.preventDefault();
    const buttons = this.element.querySelectorAll<HTMLButtonElement>("button");
    for (const button of buttons) button.disabled = true;
    try {
      this.#said = await work();
      this.#failure = "";
      // What became of it: the state, and that there is nothing left to mend.
      const item = await getJson<Item>(this.#path);
      this.#finding = { ...this.#finding, properties: item.properties };
      if (this.#properties["state"] === "mended") {
        this.#mends = [];
        drawFinding(this.#context.map, []);
      }
      this.#changed();
      this.build();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#failure = t("failed", { reason: error instanceof Error ? error.message : String(error) });
    // What was typed stays: only the line of the state is written again.
    for (const button of this.element.querySelectorAll<HTMLButtonElement>("button")) button.disabled = false;
    const status = this.element.querySelector("[role=status]");
    if (!status) return;
    status.className = "trouble-text";
    status.textContent = this.#failure;
  }
}

/** A place needs some ground around it to be understood: ten metres at least. */
function padded([west, south, east, north]: Box): Box {
  const margin = 0.0001;
  return [west - margin, south - margin, east + margin, north + margin];
}
