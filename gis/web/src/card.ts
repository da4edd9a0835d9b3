/** The card of what was clicked: coordinates, the features there by sector, and the chosen one's attributes. */
import type { Feature, Geometry } from "geojson";
import { attributes, formatValue } from "./attributes.ts";
import { copyText } from "./clipboard.ts";
import { h, iconButton } from "./dom.ts";
import { type Beneath, type Found, MOST } from "./identify.ts";
import { onLanguage, pick, t } from "./i18n.ts";
import { type Icons, layerSwatch } from "./legend.ts";
import { getJson } from "./server.ts";
import type { Sector } from "./types.ts";

export interface CardHost {
  sector(layer: string): Sector | undefined;
  /** The point's coordinates as text, one line a system. */
  coordinates(point: [number, number]): { label: string; text: string }[];
  /** The chosen feature changed; null when none is. */
  chosen(feature: Found | null, geometry: Geometry | null, point: [number, number] | null): void;
  zoomTo(geometry: Geometry): void;
  say(text: string): void;
  /** What the server knows of a point; null when it is not asked. */
  beneath(point: [number, number], signal: AbortSignal): Promise<Beneath | null>;
  /** Buttons for the chosen feature, beside the card's own. */
  actions(feature: Found, full: Feature): HTMLElement[];
}

export class Card {
  readonly element = h("section", { class: "card", hidden: true, tabindex: "-1" });
  readonly #host: CardHost;
  readonly #icons: Icons;
  #point: [number, number] | null = null;
  #found: readonly Found[] = [];
  /** Those of #found that are drawn on the map come first: so many. */
  #drawn = 0;
  #beneath: Beneath | null = null;
  #looking: AbortController | null = null;
  #open: Found | null = null;
  #geometry: Geometry | null = null;
  #request: AbortController | null = null;
  /** Why the open feature's attributes could not be had: kept, for whatever else joins the card draws it anew. */
  #failure = "";
  /** Full attributes already fetched for what is on the card. */
  #full = new Map<Found, Feature>();

  constructor(host: CardHost, icons: Icons) {
    this.#host = host;
    this.#icons = icons;
    onLanguage(() => this.#build());
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.close();
    });
  }

  /** Shows what was found at a point; the topmost feature is opened. */
  show(point: [number, number] | null, found: readonly Found[]): void {
    this.#point = point;
    this.#found = found;
    this.#drawn = found.length;
    this.#beneath = null;
    this.#full.clear();
    this.element.hidden = false;
    this.#choose(found[0] ?? null);
    this.#looking?.abort();
    if (point) void this.#look(point);
  }

  /** What is drawn is on the card at once; what the server knows beside it joins it below. */
  async #look(point: [number, number]): Promise<void> {
    const looking = new AbortController();
    this.#looking = looking;
    try {
      const beneath = await this.#host.beneath(point, looking.signal);
      if (looking.signal.aborted || !beneath) return;
      const here = new Set(this.#found.map(({ layer, fid }) => `${layer.id}/${fid}`));
      this.#beneath = beneath;
      this.#found = [...this.#found, ...beneath.found.filter(({ layer, fid }) => !here.has(`${layer.id}/${fid}`))];
      const [first] = this.#found;
      if (this.#drawn === 0 && first && !this.#open) this.#choose(first);
      else this.#build();
    } catch (error) {
      // The card does without; a server that is away says so where attributes are fetched.
      if (!looking.signal.aborted) console.warn(error);
    }
  }

  close(): void {
    if (this.element.hidden) return;
    this.#request?.abort();
    this.#looking?.abort();
    this.element.hidden = true;
    this.#point = null;
    this.#found = [];
    this.#open = null;
    this.#host.chosen(null, null, null);
  }

  /** Writes the coordinates again, after another system was chosen. */
  refresh(): void {
    if (!this.element.hidden) this.#build();
  }

  #choose(feature: Found | null): void {
    this.#request?.abort();
    this.#open = feature;
    this.#failure = "";
    this.#geometry = feature ? (this.#full.get(feature)?.geometry ?? null) : null;
    this.#host.chosen(feature, this.#geometry, this.#point);
    this.#build();
    if (feature && !this.#full.has(feature)) void this.#fetch(feature);
  }

  async #fetch(feature: Found): Promise<void> {
    const request = new AbortController();
    this.#request = request;
    const path = `/collections/${feature.layer.id}/items/${encodeURIComponent(feature.fid)}`;
    try {
      const full = await getJson<Feature>(path, request.signal);
      if (request.signal.aborted) return;
      this.#full.set(feature, full);
      this.#geometry = full.geometry;
      this.#host.chosen(feature, full.geometry, this.#point);
    } catch (error) {
      if (request.signal.aborted) return;
      this.#failure = error instanceof Error ? error.message : String(error);
    }
    if (this.#open === feature) this.#build();
  }

  #build(): void {
    if (this.element.hidden) return;
    const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset["key"] : undefined;
    this.element.setAttribute("aria-label", t("featuresHere"));
    const count = this.#found.length;
    const shown = this.#found.slice(0, MOST);
    this.element.replaceChildren(
      h(
        "header",
        {},
        h("h2", {}, count > 0 ? t("featuresFound", { count }) : t("featuresHere")),
        iconButton("close", t("close"), () => this.close(), { class: "icon-button", "data-key": "close" }),
      ),
      ...(this.#point ? [this.#coordinates(this.#point)] : []),
      h(
        "div",
        { class: "card-body", "aria-live": "polite" },
        ...(count === 0 ? [h("p", { class: "empty" }, t("nothingHere"))] : this.#groups(shown)),
        count > MOST ? h("p", { class: "empty" }, t("moreFeatures", { count: count - MOST })) : null,
        this.#beneath?.more ? h("p", { class: "empty" }, this.#beneath.more()) : null,
      ),
    );
    if (focused) this.element.querySelector<HTMLElement>(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }

  #coordinates(point: [number, number]): HTMLElement {
    const rows = this.#host.coordinates(point).flatMap(({ label, text }) => {
      const copy = iconButton(
        "copy",
        `${t("copyCoordinates")} (${label})`,
        () => void copyText(text).then((done) => this.#host.say(t(done ? "coordinatesCopied" : "linkFailed"))),
        { class: "icon-button" },
      );
      return [h("dt", { title: label }, label), h("dd", {}, h("span", {}, text), copy)];
    });
    return h("dl", { class: "card-coordinates" }, ...rows);
  }

  #groups(found: readonly Found[]): HTMLElement[] {
    const groups = Map.groupBy(found, (feature) => this.#host.sector(feature.layer.id));
    return [...groups].map(([sector, members]) => {
      const dot = h("span", { class: "dot", "aria-hidden": "true" });
      if (sector) dot.style.background = sector.colour;
      return h(
        "section",
        { class: "group" },
        h("h3", {}, dot, pick(sector?.title)),
        ...members.map((feature) => this.#feature(feature)),
      );
    });
  }

  #feature(feature: Found): HTMLElement {
    const open = feature === this.#open;
    const full = this.#full.get(feature);
    const label = this.#label(feature);
    const notes = this.#beneath?.notes(feature, this.#found.indexOf(feature) < this.#drawn) ?? [];
    const button = h(
      "button",
      {
        type: "button",
        class: "feature-title",
        "aria-expanded": String(open),
        "data-key": `${feature.layer.id}/${feature.fid}`,
        onclick: () => this.#choose(open ? null : feature),
      },
      layerSwatch(feature.layer, this.#icons),
      h(
        "span",
        { class: "title" },
        pick(feature.layer.title),
        label ? h("small", {}, label) : null,
        notes.length > 0 ? h("small", { class: "notes" }, notes.join(" · ")) : null,
      ),
    );
    const item = h("article", { class: open ? "feature open" : "feature" }, button);
    item.dataset["layer"] = feature.layer.id;
    if (!open) return item;
    if (full) item.append(this.#table(feature, full));
    else if (this.#failure) item.append(this.#failed(feature, this.#failure));
    else item.append(h("p", { class: "empty loading" }, t("loading")));
    return item;
  }

  #label(feature: Found): string {
    const properties = this.#full.get(feature)?.properties ?? feature.properties;
    const name = feature.layer.label_field ?? "asset_id";
    const value = properties[name] ?? properties["name"] ?? properties["asset_id"] ?? `#${feature.fid}`;
    return formatValue(value, feature.layer.fields.find((field) => field.name === name));
  }

  #failed(feature: Found, failure: string): HTMLElement {
    const again = h("button", { type: "button", class: "text-button", onclick: () => this.#choose(feature) }, t("retry"));
    return h("p", { class: "empty", role: "alert" }, t("attributesFailed", { reason: failure }), " ", again);
  }

  #table(feature: Found, full: Feature): HTMLElement {
    const rows = attributes(feature.layer, full.properties ?? {}).map(({ title, value }) =>
      h("tr", {}, h("th", { scope: "row" }, title), h("td", {}, value)),
    );
    const address = `/collections/${feature.layer.id}/items/${encodeURIComponent(feature.fid)}`;
    const geometry = full.geometry as Geometry | null;
    return h(
      "div",
      { class: "feature-body" },
      rows.length > 0 ? h("table", {}, h("tbody", {}, ...rows)) : h("p", { class: "empty" }, t("noAttributes")),
      h(
        "div",
        { class: "row-of-buttons" },
        geometry
          ? h(
              "button",
              { type: "button", class: "text-button", onclick: () => this.#host.zoomTo(geometry) },
              t("zoomToFeature"),
            )
          : null,
        h("a", { class: "text-button", href: address, target: "_blank", rel: "noopener" }, t("openFeature")),
        ...this.#host.actions(feature, full),
      ),
    );
  }
}
