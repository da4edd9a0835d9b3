/** The layers of the view, top first: their order by dragging or by keys, opacity, and options. */
import type { PageContext } from "../context.ts";
import { h, iconButton } from "../dom.ts";
import { pick, texts } from "../i18n.ts";
import { layerSwatch } from "../legend.ts";
import type { Layer } from "../types.ts";
import { LayerOptions } from "./options.ts";
import { TEXTS } from "./texts.ts";
import type { SeeView } from "./view.ts";

const t = texts(TEXTS);

export class LayerList {
  readonly element = h("div", { class: "see-layers" });
  readonly #context: PageContext;
  readonly #view: SeeView;
  readonly #list = h("ol", {});
  readonly #reset = h("button", { type: "button", class: "text-button" }, t("resetOrder"));
  readonly #said = h("p", { class: "see-said", role: "status", "aria-live": "polite" });
  readonly #open = new Set<string>();
  readonly #options = new Map<string, LayerOptions>();
  readonly #marks = new Map<string, () => void>();
  readonly #toggles = new Map<string, (open: boolean) => void>();
  /** What the list shows, top first. */
  #shown: string[] = [];
  #dragging: HTMLElement | null = null;

  constructor(context: PageContext, view: SeeView) {
    this.#context = context;
    this.#view = view;
    this.#reset.addEventListener("click", () => view.resetOrder());
    this.element.append(h("p", { class: "tool-hint" }, t("orderHint")), this.#list, this.#reset, this.#said);
    this.#list.addEventListener("pointermove", (event) => this.#drag(event));
  }

  /** Shows these layers of the map, which are those in view; a layer that is filtered stays, though it may be empty. */
  show(inView: ReadonlySet<string>): void {
    if (this.#dragging) return;
    const filtered = new Set(this.#view.filtered);
    const { state } = this.#context;
    const shown = this.#view.order
      .filter((id) => inView.has(id) || this.#open.has(id) || (filtered.has(id) && state.isShown(id)))
      .toReversed();
    this.#reset.hidden = !this.#view.isReordered;
    if (shown.join() !== this.#shown.join()) {
      this.#shown = shown;
      const focused = document.activeElement;
      const kept = new Map([...this.#list.children].map((item) => [(item as HTMLElement).dataset["layer"], item]));
      this.#list.replaceChildren(
        ...shown.flatMap((id) => {
          const layer = state.layers.get(id);
          return layer ? [kept.get(id) ?? this.#item(layer)] : [];
        }),
      );
      // What is taken out for a moment loses the focus.
      if (focused instanceof HTMLElement && this.#list.contains(focused)) focused.focus();
    }
    this.refresh();
  }

  /** Opens the options of a layer, whether or not anything of it is in view, and goes to them. */
  showOptions(layer: string): void {
    this.#open.add(layer);
    this.show(new Set(this.#shown));
    this.#toggles.get(layer)?.(true);
    const item = [...this.#list.children].find((one) => (one as HTMLElement).dataset["layer"] === layer);
    item?.scrollIntoView({ block: "start" });
    item?.querySelector<HTMLElement>(".see-options select, .see-options button")?.focus({ preventScroll: true });
  }

  /** Brings marks and sliders up to the present state. */
  refresh(): void {
    for (const id of this.#shown) this.#marks.get(id)?.();
    for (const options of this.#options.values()) options.zoomed();
  }

  #item(layer: Layer): HTMLElement {
    const title = pick(layer.title);
    const { state, icons } = this.#context;
    const options = h("div", { id: `see-${layer.id}`, hidden: !this.#open.has(layer.id) });
    const handle = iconButton("grip", t("drag", { title }), () => {}, { class: "icon-button see-grip" });
    const more = iconButton("sliders", t("options", { title }), () => toggle(!this.#open.has(layer.id)), {
      class: "icon-button",
      "aria-controls": options.id,
    });
    const toggle = (open: boolean): void => {
      if (open) this.#open.add(layer.id);
      else this.#open.delete(layer.id);
      options.hidden = !open;
      more.setAttribute("aria-expanded", String(open));
      if (open && options.childElementCount === 0) {
        const made = new LayerOptions(this.#context, this.#view, layer);
        this.#options.set(layer.id, made);
        options.append(made.element);
      }
    };
    const slider = h("input", { type: "range", min: 0, max: 100, step: 5, "aria-label": t("opacity", { title }) });
    slider.addEventListener("input", () => state.setLayerOpacity(layer.id, Number(slider.value)));
    const mark = h("small", {});
    const item = h(
      "li",
      {},
      h("div", { class: "see-layer" }, handle, layerSwatch(layer, icons), h("span", { class: "title" }, title, mark), slider, more),
      options,
    );
    item.dataset["layer"] = layer.id;
    this.#marks.set(layer.id, () => {
      slider.value = String(state.layerOpacity(layer.id));
      const said = [this.#view.filter(layer.id) && t("filtered"), this.#view.colouring(layer.id) && t("coloured")];
      mark.textContent = said.filter(Boolean).join(" · ");
    });
    handle.addEventListener("keydown", (event) => this.#key(event, layer));
    handle.addEventListener("pointerdown", (event) => this.#grab(event, item, handle));
    toggle(this.#open.has(layer.id));
    this.#toggles.set(layer.id, toggle);
    return item;
  }

  #key(event: KeyboardEvent, layer: Layer): void {
    const from = this.#shown.indexOf(layer.id);
    const last = this.#shown.length - 1;
    const to = { ArrowUp: from - 1, ArrowDown: from + 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    if (to < 0 || to > last || to === from) return;
    const others = this.#shown.filter((id) => id !== layer.id);
    this.#place(layer.id, others[to] ?? "");
    this.show(new Set(this.#shown));
    this.#said.textContent = t("placed", { title: pick(layer.title), place: to + 1, count: last + 1 });
  }

  /** The layer is drawn directly above `below`, the next of the list; the last of the list beneath them all. */
  #place(layer: string, below: string): void {
    if (below === "") {
      // Beneath the lowest of the list, and not beneath the ground: above what lies under that one.
      const lowest = this.#shown.filter((id) => id !== layer).at(-1) ?? "";
      const order = this.#view.order.filter((id) => id !== layer);
      below = order[order.indexOf(lowest) - 1] ?? "";
    }
    this.#view.move(layer, below);
  }

  #grab(event: PointerEvent, item: HTMLElement, handle: HTMLElement): void {
    if (event.button !== 0) return;
    event.preventDefault();
    handle.focus();
    this.#dragging = item;
    item.classList.add("dragged");
    this.#list.setPointerCapture(event.pointerId);
    const drop = (): void => {
      this.#dragging = null;
      item.classList.remove("dragged");
      const layer = item.dataset["layer"] ?? "";
      const before = this.#shown;
      this.#shown = [...this.#list.children].map((one) => (one as HTMLElement).dataset["layer"] ?? "");
      if (before.join() !== this.#shown.join()) this.#place(layer, this.#shown[this.#shown.indexOf(layer) + 1] ?? "");
    };
    this.#list.addEventListener("lostpointercapture", drop, { once: true });
  }

  #drag(event: PointerEvent): void {
    const dragged = this.#dragging;
    if (!dragged) return;
    for (const other of this.#list.children) {
      if (other === dragged) continue;
      const { top, bottom } = other.getBoundingClientRect();
      if (event.clientY < top || event.clientY > bottom) continue;
      if (event.clientY < (top + bottom) / 2) other.before(dragged);
      else other.after(dragged);
      return;
    }
  }
}
