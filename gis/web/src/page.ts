/** The page once catalogue and style are here: panel, map, card and bar, and the link that holds it all. */
import type { Feature, Geometry } from "geojson";
import type { Map as MapView, MapMouseEvent, StyleSpecification } from "maplibre-gl";
import { accountButton } from "./account.ts";
import { bounds } from "./bounds.ts";
import { Card } from "./card.ts";
import { copyText } from "./clipboard.ts";
import type { PageContext } from "./context.ts";
import { controls } from "./controls.ts";
import { bringOut, keepClear, roomAround } from "./cover.ts";
import { makeTransforms, type Position } from "./crs.ts";
import { Dock } from "./dock.ts";
import { EMBEDDED, NARROW } from "./embed.ts";
import { FindBox } from "./find/box.ts";
import { h, iconButton } from "./dom.ts";
import { FailedTiles, reason } from "./failed-tiles.ts";
import { formatHash, type PageLink, parseHash } from "./hash.ts";
import { cityStyle } from "./ground.ts";
import { addHighlight, setHighlight } from "./highlight.ts";
import { isLanguage, language, onLanguage, pick, setLanguage, t } from "./i18n.ts";
import { featuresAt, type Found } from "./identify.ts";
import { LayerState } from "./layer-state.ts";
import { Icons } from "./legend.ts";
import { LinkParts } from "./link-parts.ts";
import { absoluteStyle, createMap, homeView, refreshTiles, takeSources } from "./map.ts";
import { Panel } from "./panel.ts";
import { Readout } from "./readout.ts";
import { getJson } from "./server.ts";
import { session } from "./session.ts";
import { Status } from "./status.ts";
import { Toolbar } from "./toolbar.ts";
import { FEATURE_ACTIONS, RESTORERS, TOOLS } from "./tools.ts";
import type { Box, Catalogue } from "./types.ts";
import { hasUnsaved } from "./unsaved.ts";

/** Under this width (CSS has the same) the panel lies over the map and begins closed. */
const FEATURE_ZOOM = 18;
const WRITE_MS = 120;

/** Layers that show whoever is logged in more than they show to anyone. */
function layersWithMore(): string {
  return session.me?.hidden.join() ?? "";
}

export class Page {
  readonly map: MapView;
  /** Kept when the map is drawn for the first time. */
  readonly drawn: Promise<void>;
  /** Kept when the style is on the map. */
  readonly #loaded: Promise<void>;
  readonly #catalogue: Catalogue;
  readonly #state: LayerState;
  readonly #status = new Status();
  readonly #failedTiles = new FailedTiles();
  readonly #icons = new Icons();
  readonly #panel: Panel;
  readonly #readout: Readout;
  readonly #card: Card;
  readonly #side = h("aside", { class: "side", id: "side" });
  readonly #openSide: HTMLButtonElement;
  readonly #link = new LinkParts(() => this.#writeLink());
  readonly #context: PageContext;
  #clicks: ((event: MapMouseEvent) => void) | null = null;
  #chosen: Found | null = null;
  /** Of whom the catalogue is that the page shows. */
  #seesMore = layersWithMore();
  /** The chosen feature was asked for by its id: the map goes there once its geometry is known. */
  #zoomToChosen = false;
  /** The address that the page itself wrote last, so that its own change is not read back. */
  #written = "";
  #writing = 0;

  /** `since`: the changeset that all tiles will have. */
  constructor(root: HTMLElement, catalogue: Catalogue, style: StyleSpecification, since: number) {
    const link = parseHash(window.location.hash);
    this.#catalogue = catalogue;
    this.#state = new LayerState(catalogue, style);
    this.#state.readLink(link);
    this.#panel = new Panel(catalogue, this.#state, this.#icons, {
      zoomTo: (box, minZoom) => this.#zoomTo(box, minZoom),
      options: (layer) => void this.#showOptions(layer),
    });
    const { city } = catalogue;
    const transforms = makeTransforms(city.crs, city.storage_crs);
    this.#readout = new Readout(transforms, city.extent, link.crs, {
      crs: () => (this.#card.refresh(), this.#writeLink()),
    });
    this.#card = new Card(
      {
        sector: (layer) => this.#state.sector(layer),
        coordinates: (point) => this.#readout.lines(point),
        chosen: (feature, geometry, point) => this.#choose(feature, geometry, point),
        zoomTo: (geometry) => this.#zoomTo(bounds(geometry), FEATURE_ZOOM),
        say: (text) => this.#status.say(text),
        beneath: async (point, signal) =>
          (await import("./ask/beneath.ts")).beneath(this.#context, point, signal),
        actions: (feature, full) => this.#actions(feature, full),
      },
      this.#icons,
    );
    const dock = new Dock();
    const container = h("div", { id: "map", class: "map" });
    this.#openSide = iconButton("layers", t("openLayers"), () => this.#showSide(true), {
      class: "open-side",
      "aria-controls": "side",
    });
    this.#buildSide();
    const skip = h("a", { class: "skip", href: "#map" }, t("skip"));
    skip.addEventListener("click", (event) => {
      event.preventDefault();
      container.querySelector("canvas")?.focus();
    });
    const stage = h("main", { class: "stage" }, container, this.#openSide, this.#card.element, this.#readout.element);
    root.replaceChildren(skip, this.#side, stage, this.#status.element);
    this.map = createMap(container, absoluteStyle(style), city, link.view ?? homeView(city));
    container.after(
      controls(this.map, {
        home: () => this.#show(homeView(city), true),
        copyLink: () => void this.#copyLink(),
      }),
    );
    this.#context = {
      map: this.map,
      catalogue,
      state: this.#state,
      status: this.#status,
      icons: this.#icons,
      dock,
      link: this.#link,
      session,
      transforms,
      transform: () => transforms.find(({ code }) => code === this.#readout.crs),
      openFeature: (layer, fid, options) => this.#openFeature({ layer, fid: String(fid) }, options?.zoom ?? false),
      chosen: () => this.#chosen,
      closeCard: () => this.#card.close(),
      zoomTo: (box, zoom) => this.#zoomTo(box, zoom ?? FEATURE_ZOOM),
      goTo: (place) => this.#goTo(place),
      openTool: (id) => toolbar.open(id),
      readPlace: (text) => this.#readout.read(text),
      takeClicks: (handler) => {
        this.#clicks = handler;
      },
      refreshTiles: () => this.#refreshTiles(),
    };
    this.#link.read(link.parts);
    const toolbar = new Toolbar(this.#context, EMBEDDED ? [] : TOOLS);
    if (EMBEDDED) stage.append(this.#wholeMap());
    else {
      const find = new FindBox(this.#context).element;
      stage.append(find, toolbar.element, dock.element);
      dock.onChange(keepClear(this.map, [dock.element], [find, toolbar.element]));
    }
    document.body.classList.toggle("embedded", EMBEDDED);
    this.#showSide(!NARROW.matches && !EMBEDDED);
    onLanguage(() => this.#relabel());
    this.#relabel();
    this.#state.onChange(() => this.#writeLink());
    window.addEventListener("hashchange", () => this.#readLink());
    this.#follow();
    session.onChange(() => {
      void this.#followSession();
      this.#resumeEdits();
    });
    this.#loaded = new Promise((resolve) => void this.map.once("load", () => resolve()));
    this.drawn = new Promise((resolve) => {
      this.map.once("load", () => {
        this.#state.attach(this.map);
        addHighlight(this.map);
        if (link.feature) this.#openFeature(link.feature);
        for (const { keys, load } of RESTORERS) {
          this.#link.whenSaid(keys, () => void load().then((restore) => restore(this.#context), console.warn));
        }
        this.map.once("idle", () => resolve());
      });
    });
    void this.drawn
      .then(() => {
        this.#resumeEdits();
        return import("./live.ts");
      })
      .then(({ follow }) => follow(this.map, since, () => this.#refreshTiles()))
      .catch((error: unknown) => console.warn(error));
    if (typeof style.sprite === "string") {
      // The legend does without icons when they cannot be had; the map says so itself.
      void this.#icons.load(style.sprite).then(
        () => this.#panel.build(),
        (error: unknown) => console.warn(error),
      );
    }
  }

  /** From the map in somebody's page to the page with everything, at the same view. */
  #wholeMap(): HTMLElement {
    const link = h("a", { class: "whole-map text-button", href: "/map", target: "_blank", rel: "noopener" });
    link.addEventListener("click", () => {
      link.href = `/map${window.location.hash}`;
    });
    const label = (): void => void (link.textContent = t("wholeMap"));
    onLanguage(label);
    label();
    return link;
  }

  #buildSide(): void {
    const languages = this.#catalogue.languages.filter(isLanguage).map((code) => {
      const button = h("button", { type: "button", lang: code, onclick: () => setLanguage(code) }, code.toUpperCase());
      button.dataset["language"] = code;
      return button;
    });
    this.#side.append(
      h(
        "header",
        { class: "brand" },
        h("div", {}, h("p", { class: "product" }), h("h1", {})),
        EMBEDDED ? null : accountButton(session, this.#catalogue, this.#status),
        h("div", { class: "languages", role: "group" }, ...languages),
        iconButton("close", t("closeLayers"), () => this.#showSide(false), { class: "icon-button close-side" }),
      ),
      this.#panel.element,
    );
  }

  #relabel(): void {
    const city = pick(this.#catalogue.city.title);
    document.title = `${city} · ${t("product")}`;
    const set = (selector: string, text: string): void => {
      const element = this.#side.querySelector(selector);
      if (element) element.textContent = text;
    };
    set(".product", t("product"));
    set("h1", city);
    this.#side.setAttribute("aria-label", t("layers"));
    this.#side.querySelector(".languages")?.setAttribute("aria-label", t("language"));
    for (const button of this.#side.querySelectorAll<HTMLElement>(".languages button")) {
      button.setAttribute("aria-pressed", String(button.dataset["language"] === language()));
    }
    for (const [button, key] of [
      [this.#side.querySelector(".close-side"), "closeLayers"],
      [this.#openSide, "openLayers"],
    ] as const) {
      button?.setAttribute("aria-label", t(key));
      button?.setAttribute("title", t(key));
    }
    const skip = document.querySelector(".skip");
    if (skip) skip.textContent = t("skip");
    this.map.getCanvas().setAttribute("aria-label", t("map"));
    this.#writeLink();
  }

  #showSide(open: boolean): void {
    this.#side.hidden = !open;
    this.#openSide.hidden = open;
    this.#openSide.setAttribute("aria-expanded", String(open));
    document.body.classList.toggle("side-open", open);
  }

  /** Lets the page follow the map: progress, trouble, coordinates, clicks, the address. */
  #follow(): void {
    const { map } = this;
    map.on("dataloading", () => this.#status.busy(true));
    map.on("idle", () => this.#status.busy(false));
    map.on("error", (event) => {
      if (event.error instanceof Error && event.error.name === "AbortError") return;
      this.#failedTiles.note(event);
      this.#status.trouble("tilesFailed", reason(event.error), () => this.#failedTiles.retry(map));
      // MapLibre draws no frame after a failed tile, and without one it never says that it is idle.
      map.triggerRepaint();
    });
    const centre = (): void => {
      const { lng, lat } = map.getCenter();
      this.#readout.show([lng, lat]);
      this.#panel.setZoom(map.getZoom());
    };
    centre();
    map.on("move", centre);
    map.on("moveend", () => this.#writeLink());
    map.on("mousemove", ({ lngLat }) => this.#readout.show([lngLat.lng, lngLat.lat]));
    map.on("mouseout", centre);
    map.on("click", (event) => this.#identify(event));
    map.on("load", () => {
      map.getCanvas().style.cursor = "crosshair";
    });
    map.on("dragstart", () => map.getCanvas().style.removeProperty("cursor"));
    map.on("dragend", () => {
      map.getCanvas().style.cursor = "crosshair";
    });
    window.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#card.close();
    });
  }

  /** Changes that were left unsaved are opened again, and those that were on their way are sent again. */
  #resumeEdits(): void {
    const { me } = session;
    if (me && hasUnsaved(me.name)) void this.#context.openTool("edit");
  }

  #refreshTiles(): void {
    this.#failedTiles.retry(this.map); // first: see there
    refreshTiles(this.map);
  }

  /** Who logs in may see other layers and attributes than anyone, and no longer when he logs out. */
  async #followSession(): Promise<void> {
    const more = layersWithMore();
    if (more === this.#seesMore) return;
    this.#card.close();
    try {
      const [catalogue, style] = await Promise.all([
        getJson<Catalogue>("/catalogue"),
        cityStyle(),
      ]);
      await this.#loaded;
      if (more !== layersWithMore()) return;
      this.#seesMore = more;
      this.#catalogue.sectors.splice(0, this.#catalogue.sectors.length, ...catalogue.sectors);
      const taken = absoluteStyle(style);
      takeSources(this.map, taken);
      this.#state.take(this.#catalogue, taken);
      this.#panel.build();
      this.#refreshTiles();
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      this.#status.trouble("reloadFailed", detail, () => void this.#followSession());
    }
  }

  #identify(event: MapMouseEvent): void {
    if (this.#clicks) {
      this.#clicks(event);
      return;
    }
    const touch = event.originalEvent instanceof PointerEvent && event.originalEvent.pointerType === "touch";
    const found = featuresAt(this.map, event.point, this.#state.layers, touch);
    if (NARROW.matches) this.#showSide(false);
    this.#card.show([event.lngLat.lng, event.lngLat.lat], found);
  }

  #choose(feature: Found | null, geometry: Geometry | null, point: [number, number] | null): void {
    this.#chosen = feature;
    if (geometry && this.#zoomToChosen) this.#zoomTo(bounds(geometry), FEATURE_ZOOM);
    if (geometry || !feature) this.#zoomToChosen = false;
    setHighlight(this.map, geometry, point);
    this.#writeLink();
  }

  /** Opens the feature of a link or of a tool, wherever it is. */
  #openFeature({ layer: id, fid }: { layer: string; fid: string }, zoom = false): void {
    const layer = this.#state.layers.get(id);
    if (!layer) return;
    this.#zoomToChosen = zoom;
    this.#card.show(null, [{ layer, fid, properties: {} }]);
  }

  #actions(feature: Found, full: Feature): HTMLElement[] {
    if (EMBEDDED) return [];
    return FEATURE_ACTIONS.filter((action) => action.allowed?.(this.#context, feature) ?? true).map((action) => {
      const run = (): void =>
        void action.run(this.#context, feature, full).catch((error: unknown) => {
          console.warn(error);
          this.#status.trouble("toolFailed", error instanceof Error ? error.message : "", run);
        });
      const button = h("button", { type: "button", class: "text-button", onclick: run }, pick(action.title));
      button.dataset["action"] = action.id;
      return button;
    });
  }

  /** The filter and the colours of a layer, which is shown with them. */
  async #showOptions(layer: string): Promise<void> {
    if (NARROW.matches) this.#showSide(false);
    this.#state.show([layer], true);
    await this.#context.openTool("see");
    await import("./see/tool.ts").then(({ showOptions }) => showOptions(layer), console.warn);
  }

  #goTo(place: Position): void {
    const [lon, lat] = place;
    this.map.once("idle", () => {
      const point = this.map.project({ lng: lon, lat });
      this.#card.show([lon, lat], featuresAt(this.map, point, this.#state.layers, false));
      bringOut(this.map, place, [this.#context.dock.element, this.#card.element]);
    });
    this.map.jumpTo({ center: [lon, lat], zoom: Math.max(this.map.getZoom(), 17) });
    if (NARROW.matches) this.#showSide(false);
  }

  #zoomTo([west, south, east, north]: Box, zoom: number): void {
    if (NARROW.matches) this.#showSide(false);
    // Beside an open tool and the card, not under them.
    const padding = roomAround(this.map, [this.#context.dock.element, this.#card.element]);
    this.map.fitBounds([west, south, east, north], { padding, maxZoom: Math.max(zoom, 17), duration: 600 });
  }

  #show(view: NonNullable<PageLink["view"]>, animate: boolean): void {
    const camera = { center: [view.lon, view.lat] as [number, number], ...view };
    if (animate) this.map.easeTo({ ...camera, duration: 600 });
    else this.map.jumpTo(camera);
  }

  #present(): PageLink {
    const { lng, lat } = this.map.getCenter();
    const crs = this.#readout.crsForLink;
    return {
      view: {
        zoom: this.map.getZoom(),
        lat,
        lon: lng,
        bearing: this.map.getBearing(),
        pitch: this.map.getPitch(),
      },
      language: language(),
      ...this.#state.writeLink(),
      ...(crs === undefined ? {} : { crs }),
      parts: this.#link.write(),
      ...(this.#chosen ? { feature: { layer: this.#chosen.layer.id, fid: this.#chosen.fid } } : {}),
    };
  }

  /** Soon, and once for many changes: browsers refuse an address that changes with every step of a slider. */
  #writeLink(): void {
    window.clearTimeout(this.#writing);
    this.#writing = window.setTimeout(() => this.#writeLinkNow(), WRITE_MS);
  }

  #writeLinkNow(): void {
    window.clearTimeout(this.#writing);
    // A link that was followed a moment ago is not read yet (#readLink hears of it next): it is kept.
    if (this.#written !== "" && window.location.hash !== this.#written) return;
    window.history.replaceState(null, "", formatHash(this.#present()));
    this.#written = window.location.hash;
  }

  /** A link was typed or followed while the page is open. */
  #readLink(): void {
    if (window.location.hash === this.#written) return;
    this.#written = window.location.hash;
    const link = parseHash(window.location.hash);
    if (link.language) setLanguage(link.language);
    this.#state.readLink(link);
    this.#readout.setCrs(link.crs);
    if (link.view) this.#show(link.view, false);
    this.#link.read(link.parts);
    if (link.feature) this.#openFeature(link.feature);
    else this.#card.close();
  }

  async #copyLink(): Promise<void> {
    this.#writeLinkNow();
    this.#status.say(t((await copyText(window.location.href)) ? "linkCopied" : "linkFailed"));
  }
}
