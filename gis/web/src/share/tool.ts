/** The tool that gives the present view away: as a link, as a frame for a web page, as an image by address. */
import "../tools.css";
import "./share.css";
import { copyText } from "../clipboard.ts";
import type { PageContext, ToolPanel } from "../context.ts";
import { wholeBox } from "../cover.ts";
import { h } from "../dom.ts";
import { language, onLanguage, pick, texts } from "../i18n.ts";
import { filtersOf } from "../print/cql.ts";
import { seeView } from "../see/view.ts";
import { embedAddress, frameCode, imageAddress } from "./addresses.ts";
import { TEXTS } from "./texts.ts";

const t = texts(TEXTS);
/** Under this zoom an image would hold more than the server draws at once. */
const IMAGE_ZOOM = 12;
/** The address follows the map a moment later (page.ts, WRITE_MS). */
const SETTLED_MS = 250;

let present: ShareTool | null = null;
let listening = false;

export function open(context: PageContext): ToolPanel {
  present = new ShareTool(context);
  if (!listening) {
    listening = true;
    onLanguage(() => present?.build());
  }
  return present;
}

class ShareTool implements ToolPanel {
  readonly element = h("div", { class: "share-tool" });
  readonly #context: PageContext;
  #waiting = 0;
  readonly #stop: () => void;
  readonly #changed = (): void => {
    window.clearTimeout(this.#waiting);
    this.#waiting = window.setTimeout(() => this.build(), SETTLED_MS);
  };

  constructor(context: PageContext) {
    this.#context = context;
    context.map.on("moveend", this.#changed);
    this.#stop = seeView(context).onChange(this.#changed);
    this.build();
    this.#changed();
  }

  close(): void {
    window.clearTimeout(this.#waiting);
    this.#context.map.off("moveend", this.#changed);
    this.#stop();
    present = null;
  }

  build(): void {
    const { map, state, catalogue } = this.#context;
    const names = (ids: readonly string[]): string => ids.map((id) => pick(state.layers.get(id)?.title)).join(", ");
    const link = new URL(window.location.href);
    link.hash = link.hash.replace(/([#&])tool=share(?:&|$)/, "$1").replace(/&$/, "");
    const title = `${t("frameTitle")} · ${pick(catalogue.city.title)}`;
    const { clientWidth: width, clientHeight: height } = map.getContainer();
    const view = seeView(this.#context);
    // The address has no login with it: what not everybody may see would have it refused.
    const layers = view.seen.filter(({ access }) => access === "public");
    const hidden = view.seen.filter(({ access }) => access !== "public");
    const { filters, unfiltered } = filtersOf(layers, (layer) => view.filter(layer));
    const image = imageAddress(
      window.location.origin,
      wholeBox(map),
      { width, height },
      layers.map(({ id }) => id),
      filters,
      language(),
    );
    const hints = [
      t("imageHint"),
      ...(unfiltered.length > 0 ? [t("imageWhole", { names: names(unfiltered) })] : []),
      ...(hidden.length > 0 ? [t("imageWithout", { names: names(hidden.map(({ id }) => id)) })] : []),
    ];
    const near = map.getZoom() >= IMAGE_ZOOM && layers.length > 0;
    this.element.replaceChildren(
      h("p", { class: "tool-hint" }, t("hint")),
      this.#part("link", link.href, ""),
      this.#part("embed", frameCode(embedAddress(window.location.href), title), t("embedHint")),
      near
        ? this.#part("image", image, hints.join(" "), image)
        : h("section", {}, h("h3", {}, t("image")), h("p", { class: "tool-hint" }, t("imageWide"))),
    );
  }

  #part(key: "link" | "embed" | "image", text: string, hint: string, open?: string): HTMLElement {
    const field = h("textarea", { class: "field", rows: 3, readonly: true, name: key, "aria-label": t(key) });
    field.value = text;
    field.addEventListener("focus", () => field.select());
    const copy = (): void =>
      void copyText(text).then((done) => this.#context.status.say(t(done ? "copied" : "copyFailed")));
    return h(
      "section",
      {},
      h("h3", {}, t(key)),
      hint ? h("p", { class: "tool-hint" }, hint) : null,
      field,
      h(
        "div",
        { class: "buttons" },
        h("button", { type: "button", class: "small-button", onclick: copy }, t("copy")),
        open
          ? h("a", { class: "small-button", href: open, target: "_blank", rel: "noopener" }, t("open"))
          : null,
      ),
    );
  }
}
