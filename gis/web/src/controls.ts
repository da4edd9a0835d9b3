/** The buttons at the map's edge: zoom, north, first view, link. */
import type { Map as MapView } from "maplibre-gl";
import { h, iconButton, svg } from "./dom.ts";
import { onLanguage, t } from "./i18n.ts";
import type { TextKey } from "./texts.ts";

export interface ControlActions {
  home(): void;
  copyLink(): void;
}

export function controls(map: MapView, actions: ControlActions): HTMLElement {
  const needle = svg(
    "svg",
    { viewBox: "0 0 20 20", width: 20, height: 20, "aria-hidden": "true", class: "needle" },
    svg("path", { d: "M10 2 13.5 10h-7Z", class: "needle-north" }),
    svg("path", { d: "M10 18 6.5 10h7Z", class: "needle-south" }),
  );
  const compass = h("button", { type: "button", onclick: () => map.easeTo({ bearing: 0, pitch: 0 }) });
  compass.append(needle);
  map.on("rotate", () => {
    needle.style.transform = `rotate(${-map.getBearing()}deg)`;
  });
  const labelled: [HTMLButtonElement, TextKey][] = [
    [iconButton("plus", t("zoomIn"), () => map.zoomIn()), "zoomIn"],
    [iconButton("minus", t("zoomOut"), () => map.zoomOut()), "zoomOut"],
    [compass, "north"],
    [iconButton("home", t("home"), actions.home), "home"],
    [iconButton("link", t("link"), actions.copyLink), "link"],
  ];
  const label = (): void => {
    for (const [button, key] of labelled) {
      button.title = t(key);
      button.setAttribute("aria-label", t(key));
    }
  };
  label();
  onLanguage(label);
  const [zoomIn, zoomOut, north, home, link] = labelled.map(([button]) => button);
  const group = (...buttons: (HTMLButtonElement | undefined)[]): HTMLElement =>
    h("div", { class: "button-group" }, ...buttons.filter((button) => button !== undefined));
  return h("div", { class: "controls" }, group(zoomIn, zoomOut), group(north, home), group(link));
}
