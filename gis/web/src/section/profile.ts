/** The profile of a drainage run, drawn by the same frame as sections; opened from a conduit's card. */
import "../tools.css";
import "./section.css";
import type { Feature } from "geojson";
import type { PageContext } from "../context.ts";
import { h, svg } from "../dom.ts";
import { formatNumber, pick, texts } from "../i18n.ts";
import type { Found } from "../identify.ts";
import { getJson } from "../server.ts";
import type { Profile } from "./answer.ts";
import { drawGround } from "./draw.ts";
import { spread } from "./layout.ts";
import { path, Plot, round, text } from "./plot.ts";
import { saveDrawing } from "./save.ts";
import { TEXTS } from "./texts.ts";

const t = texts(TEXTS);
const LABEL = 16;

/** Shows the run from this conduit downstream. */
export async function showProfile(context: PageContext, feature: Found, _full: Feature): Promise<void> {
  const profile = await getJson<Profile>(`/profile?layer=${feature.layer.id}&fid=${encodeURIComponent(feature.fid)}`);
  context.closeCard();
  const element = h("div", { class: "section-tool" });
  const dock = context.dock.element;
  context.dock.show(() => t("profile"), element, () => dock.classList.remove("wide"));
  dock.classList.add("wide");
  element.append(...content(context, profile, element.clientWidth || 700));
}

function content(context: PageContext, profile: Profile, width: number): HTMLElement[] {
  const drawing = drawProfile(profile, Math.max(320, width));
  if (!drawing) return [h("p", { class: "empty" }, t("profileNone"))];
  const findings = profile.findings.map((one) => h("li", { class: "breach" }, `${one.rule ?? ""} ${pick(one.message)}`.trim()));
  const save = (): void => saveDrawing(drawing.element, "bandoso-profile");
  return [
    h("div", { class: "section-drawing" }, drawing.element),
    h("p", { class: "tool-hint" }, t("heights", { stretch: formatNumber(drawing.stretch) })),
    ...(findings.length > 0 ? [h("h3", {}, t("findings")), h("ul", {}, ...findings)] : []),
    table(context, profile),
    h("button", { type: "button", class: "small-button", onclick: save }, t("save")),
  ];
}

function drawProfile(profile: Profile, width: number): Plot | null {
  const crown = ({ diameter_mm }: Profile["pipes"][number]): number => (diameter_mm ?? 0) / 1000;
  const known = profile.pipes.filter((pipe) => pipe.invert_from_m !== null && pipe.invert_to_m !== null);
  const inverts = known.flatMap((pipe) => [pipe.invert_from_m ?? 0, pipe.invert_to_m ?? 0]);
  if (inverts.length === 0) return null;
  const tops = known.map((pipe) => Math.max(pipe.invert_from_m ?? 0, pipe.invert_to_m ?? 0) + crown(pipe));
  const ground = profile.nodes.map(({ station_m, ground_m }): [number, number | null] => [station_m, ground_m]);
  const levels = ground.map(([, height]) => height).filter((height) => height !== null);
  const low = Math.min(...inverts) - 0.3;
  const high = Math.max(...tops, ...levels) + 0.2;
  const label = t("profileDrawing", { length: formatNumber(profile.length_m, 1), count: profile.pipes.length });
  const plot = new Plot({ length: profile.length_m, low, high }, width, 96, label);
  drawGround(plot, ground, profile.length_m);
  for (const pipe of known) {
    const [from, to] = [pipe.invert_from_m ?? 0, pipe.invert_to_m ?? 0];
    const [x0, x1] = [plot.x(pipe.from_m), plot.x(pipe.to_m)];
    const corners: [number, number][] = [
      [x0, plot.y(from)],
      [x1, plot.y(to)],
      [x1, plot.y(to + crown(pipe))],
      [x0, plot.y(from + crown(pipe))],
    ];
    plot.inside.append(svg("path", { class: to > from + 0.001 ? "plot-pipe against" : "plot-pipe", d: `${path(corners)}Z` }));
  }
  const places = spread(profile.nodes.map(({ station_m }) => plot.x(station_m)), LABEL, plot.left, plot.right);
  profile.nodes.forEach((node, i) => {
    const x = plot.x(node.station_m);
    const bottom = node.invert_m ?? inverts[0] ?? low;
    const top = node.ground_m ?? high;
    plot.inside.append(svg("line", { class: "plot-node", x1: x, x2: x, y1: plot.y(top), y2: plot.y(bottom) }));
    const at = places[i] ?? x;
    const name = text(0, 0, node.asset_id, "start");
    name.setAttribute("transform", `translate(${round(at + 4)} ${plot.top - 10}) rotate(-60)`);
    plot.inside.append(svg("path", { class: "plot-leader", d: path([[at, plot.top - 8], [x, plot.y(top)]]), stroke: "#8a97a1", fill: "none" }), name);
  });
  return plot;
}

function table(context: PageContext, { pipes }: Profile): HTMLElement {
  const metres = (value: number | null): string => (value === null ? "–" : formatNumber(value, 3));
  const head = ["pipe", "length", "diameter", "invert", "slope"] as const;
  const rows = pipes.map((pipe, i) => {
    const open = (): void => context.openFeature(pipe.layer, pipe.fid);
    const against = pipe.slope !== null && pipe.slope < 0 ? ` (${t("against")})` : "";
    return h(
      "tr",
      {},
      h("td", {}, h("button", { type: "button", class: "text-button", onclick: open }, `${t("pipe")} ${i + 1}`)),
      h("td", {}, `${formatNumber(pipe.to_m - pipe.from_m, 1)} m`),
      h("td", {}, pipe.diameter_mm === null ? "–" : `D ${formatNumber(pipe.diameter_mm, 0)}`),
      h("td", {}, `${metres(pipe.invert_from_m)} → ${metres(pipe.invert_to_m)}`),
      h("td", {}, pipe.slope === null ? "–" : `${formatNumber(pipe.slope * 1000, 2)} ‰${against}`),
    );
  });
  return h(
    "div",
    { class: "section-table" },
    h("table", {}, h("thead", {}, h("tr", {}, ...head.map((key) => h("th", { scope: "col" }, t(key))))), h("tbody", {}, ...rows)),
  );
}
