/**
 * Says on the map itself which filters do not hold at this zoom, since tiles have the attribute only from a nearer one
 * on: the layer is drawn whole then, and nobody shall take that for what the filter leaves.
 */
import type { PageContext } from "../context.ts";
import { h, symbol } from "../dom.ts";
import { onLanguage, pick, texts } from "../i18n.ts";
import { filterZoom } from "./filters.ts";
import "./notice.css";
import { TEXTS } from "./texts.ts";
import type { SeeView } from "./view.ts";

const t = texts(TEXTS);

export function noticeOfFilters(context: PageContext, view: SeeView): void {
  const { map, state } = context;
  const words = h("span", {});
  let nearest = 0;
  const go = h("button", { type: "button", class: "text-button", onclick: () => map.easeTo({ zoom: nearest }) });
  const element = h("div", { class: "see-idle-filters", role: "status", hidden: true }, symbol("warning"), words, go);
  map.getContainer().append(element);

  const update = (): void => {
    const zoom = map.getZoom();
    const idle = view.filtered.flatMap((id) => {
      const [layer, filter] = [state.layers.get(id), view.filter(id)];
      const from = layer && filter ? filterZoom(filter, layer) : null;
      const drawn = layer !== undefined && state.isShown(id) && zoom >= layer.tiles.min_zoom;
      return layer && from !== null && drawn && zoom < from ? [{ title: pick(layer.title), from }] : [];
    });
    nearest = Math.max(0, ...idle.map(({ from }) => from));
    const said = idle.length > 0 ? t("idleFilters", { layers: idle.map(({ title }) => title).join(", ") }) : "";
    element.hidden = idle.length === 0;
    if (words.textContent === said) return; // said once, not with every step of the zoom
    words.textContent = said;
    go.textContent = idle.length > 0 ? t("zoomIn", { zoom: nearest }) : "";
  };
  view.onChange(update);
  map.on("zoom", update);
  onLanguage(update);
  update();
}
