/** Takes the selection away as a file: POST /export. */
import type { PageContext } from "../context.ts";
import { h } from "../dom.ts";
import { formatNumber, pick, texts } from "../i18n.ts";
import { api } from "../server.ts";
import { type Area, areaBody } from "./query.ts";
import type { Statistics } from "./statistics.ts";
import { TEXTS } from "./texts.ts";

const t = texts(TEXTS);
const FORMATS = ["gpkg", "csv", "geojson", "dxf"] as const;
/** A large selection takes the server a while. */
const TIMEOUT_MS = 300_000;

/** The name that the server gave the file. */
export function fileName(disposition: string | null, fallback: string): string {
  const named = /filename="?([^";]+)"?/.exec(disposition ?? "")?.[1] ?? fallback;
  return named.replace(/[^\w.()-]+/g, "_").slice(0, 120);
}

export function exportForm(context: PageContext, area: Area, found: Statistics): HTMLElement {
  const layers = found.layers.filter((one) => one.count > 0 && context.state.layers.has(one.layer));
  if (layers.length === 0) return h("p", { class: "tool-hint" }, t("nothing"));
  const format = h("select", { class: "field", name: "format" });
  for (const one of FORMATS) format.append(h("option", { value: one }, t(one)));
  const crs = h("select", { class: "field", name: "crs" });
  for (const { code, name } of context.transforms) crs.append(h("option", { value: code }, `${name} (EPSG:${code})`));
  crs.append(h("option", { value: 4326 }, "WGS 84 (EPSG:4326)"));
  const boxes = layers.map(({ layer, count }) => {
    const box = h("input", { type: "checkbox", value: layer, checked: true });
    return h(
      "label",
      { class: "export-layer" },
      box,
      h("span", { class: "title" }, pick(context.state.layers.get(layer)?.title)),
      h("span", { class: "count" }, formatNumber(count, 0)),
    );
  });
  const said = h("p", { class: "tool-hint", role: "status" });
  const button = h("button", { type: "submit", class: "small-button primary" }, t("download"));
  const form = h(
    "form",
    { class: "export-form" },
    h("label", {}, h("span", {}, t("format")), format),
    h("label", {}, h("span", {}, t("crs")), crs),
    h("fieldset", {}, h("legend", {}, t("layersToExport")), ...boxes),
    button,
    said,
  );
  // GeoJSON is in degrees by its standard; other systems are for programs that know.
  format.addEventListener("change", () => {
    if (format.value === "geojson") crs.value = "4326";
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const wanted = [...form.querySelectorAll<HTMLInputElement>("input:checked")].map((box) => box.value);
    if (wanted.length === 0) return;
    button.disabled = true;
    said.textContent = t("exporting");
    const body = { ...areaBody(area), layers: wanted, format: format.value, crs: Number(crs.value) };
    void download(body, `bandoso.${format.value}`)
      .then(
        (name) => (said.textContent = t("exported", { name })),
        (error: unknown) => {
          said.textContent = t("failed", { reason: error instanceof Error ? error.message : String(error) });
        },
      )
      .finally(() => (button.disabled = false));
  });
  return form;
}

async function download(body: object, fallback: string): Promise<string> {
  const response = await api("/export", { method: "POST", json: body, headers: { Accept: "*/*" }, timeout: TIMEOUT_MS });
  const name = fileName(response.headers.get("Content-Disposition"), fallback);
  const url = URL.createObjectURL(await response.blob());
  const link = h("a", { href: url, download: name });
  link.click();
  window.setTimeout(() => URL.revokeObjectURL(url), 60_000);
  return name;
}
