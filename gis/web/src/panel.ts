/** The left panel: layers by sector, with switches, legend, opacity, counts and a filter by name. */
import { h, iconButton, symbol } from "./dom.ts";
import { EMBEDDED } from "./embed.ts";
import { fold, formatCount, formatNumber, onLanguage, pick, t } from "./i18n.ts";
import type { LayerState } from "./layer-state.ts";
import { type Icons, layerSwatch, swatch } from "./legend.ts";
import type { Box, Catalogue, Layer, Sector } from "./types.ts";

export interface PanelActions {
  zoomTo(box: Box, minZoom: number): void;
  /** Opens the filter and the colours of a layer. */
  options(layer: string): void;
}

export class Panel {
  readonly element = h("div", { class: "layers" });
  readonly #catalogue: Catalogue;
  readonly #state: LayerState;
  readonly #icons: Icons;
  readonly #actions: PanelActions;
  readonly #openSectors = new Set<string>();
  readonly #openLayers = new Set<string>();
  readonly #filter = h("input", { type: "search", class: "filter", autocomplete: "off", spellcheck: "false" });
  readonly #showAll = h("button", { type: "button", class: "text-button", onclick: () => this.#showEvery(true) });
  readonly #hideAll = h("button", { type: "button", class: "text-button", onclick: () => this.#showEvery(false) });
  readonly #tree = h("ul", { class: "tree" });
  /** Brings what stands on the panel up to the present state, without building it anew. */
  #refreshers: (() => void)[] = [];
  #zoom = 0;

  constructor(catalogue: Catalogue, state: LayerState, icons: Icons, actions: PanelActions) {
    this.#catalogue = catalogue;
    this.#state = state;
    this.#icons = icons;
    this.#actions = actions;
    this.#filter.addEventListener("input", () => this.build());
    const search = h("div", { class: "filter-box" }, symbol("search"), this.#filter);
    this.element.append(search, h("div", { class: "row-of-buttons" }, this.#showAll, this.#hideAll), this.#tree);
    state.onChange(() => this.#refresh());
    onLanguage(() => this.build());
    this.build();
  }

  /** Greys out the layers that the map does not draw at this zoom. */
  setZoom(zoom: number): void {
    if (Math.floor(zoom * 10) === Math.floor(this.#zoom * 10)) return;
    this.#zoom = zoom;
    this.#refresh();
  }

  build(): void {
    this.#filter.placeholder = t("filterLayers");
    this.#filter.setAttribute("aria-label", t("filterLayers"));
    this.#showAll.textContent = t("showAll");
    this.#hideAll.textContent = t("hideAll");
    this.#refreshers = [];
    const wanted = fold(this.#filter.value.trim());
    const sectors = this.#catalogue.sectors
      .map((sector) => ({ sector, layers: matching(sector, wanted) }))
      .filter(({ layers }) => layers.length > 0);
    this.#tree.replaceChildren(...sectors.map(({ sector, layers }) => this.#sector(sector, layers, wanted !== "")));
    if (sectors.length === 0) {
      const text = wanted ? t("noLayerMatches", { text: this.#filter.value.trim() }) : t("noLayers");
      this.#tree.append(h("li", { class: "empty" }, text));
    }
    this.#refresh();
  }

  #refresh(): void {
    for (const refresh of this.#refreshers) refresh();
  }

  #showEvery(shown: boolean): void {
    this.#state.show(this.#state.layers.keys(), shown);
  }

  #sector(sector: Sector, layers: readonly Layer[], filtering: boolean): HTMLElement {
    const title = pick(sector.title);
    const ids = sector.layers.map((layer) => layer.id);
    const box = h("input", { type: "checkbox", "aria-label": t("showSector", { title }) });
    box.addEventListener("change", () => this.#state.show(ids, box.checked));
    const count = h("span", { class: "count" });
    const body = h("div", { class: "sector-body", id: `sector-${sector.id}` });
    const toggle = h("button", { type: "button", class: "sector-title", "aria-controls": body.id });
    const dot = h("span", { class: "dot", "aria-hidden": "true" });
    dot.style.background = sector.colour;
    toggle.append(symbol("chevron"), dot, h("span", { class: "title" }, title), count);
    const show = (open: boolean): void => {
      toggle.setAttribute("aria-expanded", String(open));
      body.hidden = !open;
      // The layers of a closed sector are not built, so a catalogue of hundreds stays quick.
      if (open && body.childElementCount === 0) {
        body.append(
          this.#slider(t("opacityOf", { title }), () => this.#state.sectorOpacity(sector.id), (percent) =>
            this.#state.setSectorOpacity(sector, percent),
          ),
          h("ul", {}, ...layers.map((layer) => this.#layer(layer))),
        );
        this.#refresh();
      }
    };
    toggle.addEventListener("click", () => {
      const open = body.hidden === true;
      if (open) this.#openSectors.add(sector.id);
      else this.#openSectors.delete(sector.id);
      show(open);
    });
    show(filtering || this.#openSectors.has(sector.id));
    this.#refreshers.push(() => {
      const shown = ids.filter((id) => this.#state.isShown(id)).length;
      box.checked = shown > 0;
      box.indeterminate = shown > 0 && shown < ids.length;
      count.textContent = `${shown}/${ids.length}`;
    });
    return h("li", { class: "sector" }, h("div", { class: "sector-row" }, toggle, box), body);
  }

  #layer(layer: Layer): HTMLElement {
    const title = pick(layer.title);
    const box = h("input", { type: "checkbox", "aria-label": t("showLayer", { title }) });
    box.addEventListener("change", () => this.#state.show([layer.id], box.checked));
    const details = h("div", { class: "layer-details", id: `layer-${layer.id}`, hidden: true });
    const more = iconButton("sliders", t("layerDetails", { title }), () => show(details.hidden === true), {
      class: "icon-button",
      "aria-controls": details.id,
    });
    const show = (open: boolean): void => {
      more.setAttribute("aria-expanded", String(open));
      details.hidden = !open;
      if (open) this.#openLayers.add(layer.id);
      else this.#openLayers.delete(layer.id);
      if (open && details.childElementCount === 0) {
        details.append(...this.#details(layer, title));
        this.#refresh();
      }
    };
    const count = h("span", { class: "count" }, layer.count > 0 ? formatCount(layer.count) : t("emptyLayer"));
    count.title = t("featureCount", { count: formatNumber(layer.count, 0) });
    const row = h(
      "div",
      { class: "layer-row" },
      h("label", {}, box, layerSwatch(layer, this.#icons), h("span", { class: "title" }, title)),
      count,
      more,
    );
    show(this.#openLayers.has(layer.id));
    const item = h("li", { class: "layer" }, row, details);
    item.dataset["layer"] = layer.id;
    this.#refreshers.push(() => {
      box.checked = this.#state.isShown(layer.id);
      const far = this.#zoom < layer.tiles.min_zoom;
      item.classList.toggle("far", far || layer.count === 0);
      row.title = far ? t("fromZoom", { zoom: layer.tiles.min_zoom }) : "";
    });
    return item;
  }

  #details(layer: Layer, title: string): HTMLElement[] {
    const parts: HTMLElement[] = [];
    if (layer.legend.length > 1) {
      const entries = layer.legend.map((entry) =>
        h("li", {}, swatch(entry, this.#icons), h("span", {}, pick(entry.title))),
      );
      parts.push(h("ul", { class: "legend" }, ...entries));
    }
    parts.push(
      this.#slider(t("opacityOf", { title }), () => this.#state.layerOpacity(layer.id), (percent) =>
        this.#state.setLayerOpacity(layer.id, percent),
      ),
    );
    if (pick(layer.description)) parts.push(h("p", {}, pick(layer.description)));
    parts.push(h("p", {}, `${t("owner")}: ${pick(layer.agency) || layer.owner}`));
    const extent = layer.extent;
    const zoomTo = (): void => {
      if (extent) this.#actions.zoomTo(extent, layer.tiles.min_zoom);
    };
    parts.push(
      h(
        "div",
        { class: "row-of-buttons" },
        layer.kind === "raster" || EMBEDDED
          ? null
          : h(
              "button",
              { type: "button", class: "text-button", "data-do": "options", onclick: () => this.#actions.options(layer.id) },
              t("layerOptions"),
            ),
        extent ? h("button", { type: "button", class: "text-button", onclick: zoomTo }, t("zoomToLayer")) : null,
        h(
          "a",
          { class: "text-button", href: `/collections/${layer.id}`, target: "_blank", rel: "noopener" },
          t("openCollection"),
        ),
      ),
    );
    return parts;
  }

  #slider(label: string, read: () => number, write: (percent: number) => void): HTMLElement {
    const input = h("input", { type: "range", min: 0, max: 100, step: 5, "aria-label": label });
    const output = h("output", {});
    input.addEventListener("input", () => write(Number(input.value)));
    this.#refreshers.push(() => {
      input.value = String(read());
      output.textContent = `${read()}%`;
    });
    return h("label", { class: "slider" }, h("span", {}, t("opacity")), input, output);
  }
}

/** The layers of a sector that a search for this folded text finds; all when the sector's own title has it. */
function matching(sector: Sector, wanted: string): readonly Layer[] {
  const has = (...texts: string[]): boolean => texts.some((text) => fold(text).includes(wanted));
  if (wanted === "" || has(sector.title.vi, sector.title.en)) return sector.layers;
  return sector.layers.filter((layer) => has(layer.id, layer.title.vi, layer.title.en));
}
