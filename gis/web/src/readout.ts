/** The bar under the map: coordinates under the cursor in WGS 84 and in a system of the city. */
import { parsePair, type Position, type Transform } from "./crs.ts";
import { h } from "./dom.ts";
import { onLanguage, t } from "./i18n.ts";
import type { Box } from "./types.ts";

/** Degrees to 7 decimals (1 cm), metres to 2. */
export function formatDegrees([lon, lat]: Position): string {
  return `${lat.toFixed(7)}, ${lon.toFixed(7)}`;
}

export function formatPosition(transform: Transform, lonLat: Position): string {
  const [x, y] = transform.forward(lonLat);
  if (!Number.isFinite(x) || !Number.isFinite(y)) return "–";
  if (transform.geographic) return formatDegrees([x, y]);
  return `${x.toFixed(2)} E  ${y.toFixed(2)} N`;
}

export class Readout {
  readonly element = h("div", { class: "readout" });
  readonly #transforms: readonly Transform[];
  readonly #extent: Box;
  readonly #select = h("select", { class: "crs" });
  readonly #projected = h("output", { class: "projected" });
  readonly #degrees = h("output", { class: "degrees" });
  #transform: Transform | undefined;
  #lonLat: Position = [0, 0];

  /** `crs` is the code to begin with. */
  constructor(
    transforms: readonly Transform[],
    extent: Box,
    crs: number | undefined,
    on: { crs(code: number): void },
  ) {
    this.#transforms = transforms;
    this.#extent = extent;
    this.#transform = transforms.find((transform) => transform.code === crs) ?? transforms[0];
    for (const { code, name } of transforms) {
      this.#select.append(h("option", { value: code, title: `EPSG:${code}` }, name));
    }
    this.#select.hidden = transforms.length === 0;
    this.#select.value = String(this.#transform?.code ?? "");
    this.#select.addEventListener("change", () => {
      this.setCrs(Number(this.#select.value));
      if (this.#transform) on.crs(this.#transform.code);
    });
    this.element.append(this.#select, this.#projected, this.#degrees);
    onLanguage(() => this.#label());
    this.#label();
  }

  get crs(): number | undefined {
    return this.#transform?.code;
  }

  /** The code to put in a link: none for the city's own system. */
  get crsForLink(): number | undefined {
    return this.#transform === this.#transforms[0] ? undefined : this.#transform?.code;
  }

  setCrs(code: number | undefined): void {
    const wanted = this.#transforms.find((transform) => transform.code === code) ?? this.#transforms[0];
    this.#transform = wanted;
    this.#select.value = String(wanted?.code ?? "");
    this.show(this.#lonLat);
  }

  show(lonLat: Position): void {
    this.#lonLat = lonLat;
    this.#degrees.textContent = formatDegrees(lonLat);
    this.#projected.textContent = this.#transform ? formatPosition(this.#transform, lonLat) : "";
  }

  /** The lines for a card: the chosen system and WGS 84. */
  lines(lonLat: Position): { label: string; text: string }[] {
    const lines = [{ label: "WGS 84", text: formatDegrees(lonLat) }];
    if (this.#transform) {
      lines.unshift({ label: this.#transform.name, text: formatPosition(this.#transform, lonLat) });
    }
    return lines;
  }

  /**
   * The place that a text names: degrees (latitude first), or east and north in the chosen system. As
   * Vietnamese surveyors write north first, the other order is tried when the first is not in the city.
   * Returns a sentence when there is no such place.
   */
  read(text: string): Position | string {
    const pair = parsePair(text);
    if (!pair) return t("goToBad");
    const [a, b] = pair;
    const degrees = Math.abs(a) <= 180 && Math.abs(b) <= 180;
    const read = (x: number, y: number): Position =>
      degrees && !this.#transform?.geographic ? [x, y] : (this.#transform?.inverse([x, y]) ?? [x, y]);
    if (!degrees && (!this.#transform || this.#transform.geographic)) return t("goToBad");
    const candidates: Position[] = degrees ? [read(b, a), read(a, b)] : [read(a, b), read(b, a)];
    return candidates.find((place) => this.#inCity(place)) ?? t("goToOutside");
  }

  #inCity([lon, lat]: Position): boolean {
    const [west, south, east, north] = this.#extent;
    return lon >= west && lon <= east && lat >= south && lat <= north;
  }

  #label(): void {
    this.#select.setAttribute("aria-label", t("crs"));
    this.#select.title = t("crs");
    this.#projected.setAttribute("aria-label", t("coordinates"));
    this.#degrees.setAttribute("aria-label", `${t("latitude")}, ${t("longitude")} (WGS 84)`);
    this.#degrees.title = `WGS 84: ${t("latitude")}, ${t("longitude")}`;
    this.#projected.title = `${t("east")}, ${t("north_coordinate")}`;
  }
}
