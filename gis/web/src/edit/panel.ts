/** The panel of the editing tool: what is drawn, the chosen feature with its form, and the pending changes. */
import { parsePair } from "../crs.ts";
import { h, iconButton } from "../dom.ts";
import { formatNumber, onLanguage, pick, texts } from "../i18n.ts";
import type { Chosen, Editor } from "./editor.ts";
import { Form } from "./form.ts";
import { areaOf, lengthOf, setHeight, type Shape, type Vertex, vertices } from "./geometry.ts";
import { Changes } from "./changes.ts";
import { operationButtons } from "./operations.ts";
import { pointed } from "./pending.ts";
import { TEXTS } from "./texts.ts";
import { checked, withoutFilled } from "./values.ts";

const t = texts(TEXTS);

export class EditPanel {
  readonly element = h("div", { class: "edit", tabindex: "-1" });
  readonly #editor: Editor;
  readonly #head = h("div", { class: "edit-head" });
  readonly #work = h("div", { class: "edit-work" });
  readonly #feature = h("section", { class: "edit-feature", hidden: true });
  readonly #geometry = h("div", { class: "edit-geometry" });
  readonly #changes: Changes;
  #form: Form | null = null;
  #shown: Chosen | null = null;
  #layer = "";
  #mode = "";
  #gone = false;
  readonly #off = new AbortController();

  constructor(editor: Editor) {
    this.#editor = editor;
    this.#layer = editor.layers.find(({ count }) => count > 0)?.id ?? editor.layers[0]?.id ?? "";
    this.#changes = new Changes(editor, () => this.#form?.check() ?? true);
    editor.savedText = () => t("saved");
    this.element.append(this.#head, this.#work, this.#feature, this.#changes.element);
    for (const one of [this.element, editor.context.map.getContainer()]) {
      one.addEventListener("keydown", (event) => this.#key(event), { signal: this.#off.signal });
    }
    const loose = (event: KeyboardEvent): void => {
      if (event.target === document.body) this.#key(event); // nothing has the focus
    };
    document.addEventListener("keydown", loose, { signal: this.#off.signal });
    editor.onChange(() => this.#refresh());
    onLanguage(() => {
      if (this.#gone) return;
      this.#shown = null;
      this.#mode = "";
      this.#build();
      const { chosen } = editor;
      if (chosen) void editor.choose(chosen.layer.id, chosen.id);
    });
    this.#build();
  }

  end(): void {
    this.#gone = true;
    this.#off.abort();
  }

  #build(): void {
    const { editor, select } = { editor: this.#editor, select: h("select", { name: "layer" }) };
    for (const layer of editor.layers) select.append(h("option", { value: layer.id }, pick(layer.title)));
    select.value = this.#layer;
    select.addEventListener("change", () => {
      this.#layer = select.value;
    });
    const draw = (): void => {
      const layer = editor.layers.find(({ id }) => id === this.#layer);
      if (layer) editor.draw(layer);
    };
    const snapping = h("input", { type: "checkbox", name: "snapping", checked: editor.stage.snapping });
    snapping.addEventListener("change", () => {
      editor.stage.snapping = snapping.checked;
    });
    this.#head.replaceChildren(
      h(
        "div",
        { class: "edit-new" },
        h("label", {}, h("span", {}, t("newFeature")), select),
        h("button", { type: "button", class: "main-button", "data-do": "draw", onclick: draw }, t("draw")),
      ),
      h("label", { class: "edit-snapping" }, snapping, t("snapping")),
    );
    this.#refresh();
  }

  #refresh(): void {
    if (this.#gone) return;
    this.#refreshMode();
    this.#refreshFeature();
    this.#changes.refresh();
  }

  // --- drawing ----------------------------------------------------------------------------------------

  /** What was pressed is hidden now: the keyboard goes on where the work does. */
  #keepFocus(): void {
    const active = document.activeElement;
    const lost = active === null || active === document.body || (this.element.contains(active) && !active.checkVisibility());
    if (!lost) return;
    const next = this.#work.querySelector<HTMLElement>("[data-do=centre], button.text-button");
    (next ?? this.element).focus({ preventScroll: true });
  }

  #refreshMode(): void {
    const { mode } = this.#editor;
    const kind = this.#mode.split(" ")[0];
    this.#showMode();
    if (kind && kind !== mode.kind) this.#keepFocus();
  }

  #showMode(): void {
    const { mode } = this.#editor;
    const points = mode.kind === "draw" ? mode.points.length : 0;
    const key = `${mode.kind} ${points} ${mode.kind === "rest" ? (this.#editor.chosen?.id ?? "") : mode.say}`;
    if (key === this.#mode) return;
    const before = this.#mode.split(" ")[0];
    this.#mode = key;
    this.#head.hidden = mode.kind !== "rest";
    this.element.classList.toggle("asking", mode.kind !== "rest");
    if (mode.kind === "rest") {
      this.#work.replaceChildren(...(this.#editor.chosen ? [] : [h("p", { class: "edit-quiet" }, t("hint"))]));
      return;
    }
    const cancel = h("button", { type: "button", class: "text-button", onclick: () => this.#editor.cancel() }, t("cancel"));
    const own = mode.kind === "draw" && mode.say === "drawing" ? mode : null;
    const say = own ? t(own.geometry.endsWith("Point") ? "drawingPoint" : "drawing", { layer: pick(own.layer.title) }) : mode.say;
    if (mode.kind !== "draw") {
      const place = mode.kind === "place" ? [this.#byCoordinates((at) => mode.done(at, null))] : [];
      this.#work.replaceChildren(h("p", { role: "status" }, say), ...place, h("div", { class: "row-of-buttons" }, cancel));
      return;
    }
    if (before === "draw") {
      this.#work.querySelector<HTMLButtonElement>("[data-do=finish]")?.toggleAttribute("disabled", points < 2);
      return;
    }
    this.#work.replaceChildren(
      h("p", { role: "status" }, say),
      h(
        "div",
        { class: "row-of-buttons" },
        h("button", { type: "button", class: "main-button", "data-do": "finish", disabled: points < 2, onclick: () => void this.#editor.finish() }, t("finish")),
        h("button", { type: "button", class: "text-button", onclick: () => this.#editor.removePoint() }, t("back")),
        cancel,
      ),
      h("button", { type: "button", class: "text-button", "data-do": "centre", onclick: () => this.#editor.addPoint(this.#centre()) }, t("atCentre")),
      this.#byCoordinates((at) => this.#editor.addPoint(at)),
    );
  }

  /** The middle of the map, snapped as a click there would be: for those who draw by keyboard. */
  #centre(): number[] {
    const { map } = this.#editor.context;
    const lngLat = map.getCenter();
    return this.#editor.stage.place({ lngLat, point: map.project(lngLat) });
  }

  #byCoordinates(use: (at: number[]) => void): HTMLElement {
    const { catalogue } = this.#editor.context;
    const crs = catalogue.city.crs.find(({ code }) => code === catalogue.city.storage_crs)?.name ?? "";
    const input = h("input", { type: "text", name: "coordinates", autocomplete: "off", "aria-label": t("coordinates", { crs }), placeholder: t("coordinates", { crs }) });
    const form = h("form", { class: "edit-coordinates" }, input, iconButton("plus", t("addCoordinates"), () => undefined, { type: "submit", class: "icon-button" }));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const pair = parsePair(input.value);
      if (!pair) {
        this.#editor.context.status.say(t("badCoordinates"));
        return;
      }
      input.value = "";
      use(pair);
    });
    return form;
  }

  // --- the chosen feature -------------------------------------------------------------------------------

  #refreshFeature(): void {
    const { chosen, mode } = this.#editor;
    this.#feature.hidden = chosen === null || mode.kind !== "rest";
    if (!chosen) {
      this.#shown = null;
      this.#form = null;
      return;
    }
    if (chosen !== this.#shown) this.#buildFeature(chosen);
    this.#form?.set(this.#editor.properties(chosen));
    this.#form?.tell(this.#errorsOf(chosen));
    this.#buildGeometry(chosen);
  }

  #buildFeature(chosen: Chosen): void {
    const editor = this.#editor;
    this.#shown = chosen;
    const deleted = editor.isDeleted(chosen);
    const values = editor.properties(chosen);
    const schema = chosen.standing === null ? withoutFilled(chosen.schema) : chosen.schema;
    this.#form = new Form(schema, values, (name, value) => editor.setProperty(name, value), {
      disabled: !chosen.allowed || deleted,
    });
    const name = chosen.standing === null ? t("isNew") : String(values["asset_id"] ?? `#${chosen.id}`);
    const owner = pick(chosen.layer.agency) || String(values["owner"] ?? "");
    this.#feature.replaceChildren(
      h(
        "header",
        {},
        h("h3", {}, pick(chosen.layer.title), h("small", {}, ` ${name}`)),
        iconButton("close", t("close"), () => editor.release(), { class: "icon-button" }),
      ),
      ...(chosen.allowed ? [] : [h("p", { class: "edit-note" }, editor.sender.outbox ? t("beingSent") : t("notYours", { owner }))]),
      this.#geometry,
      ...(chosen.allowed ? [operationButtons(editor, chosen)] : []), // above the form, which may be long
      this.#form.element,
      h(
        "div",
        { class: "row-of-buttons" },
        chosen.allowed ? h("button", { type: "button", class: "text-button", "data-do": "delete", onclick: () => editor.deleteChosen() }, t("delete")) : null,
      ),
    );
  }

  /** What the server said to the attributes of this feature. */
  #errorsOf(chosen: Chosen): Map<string, string> {
    const { judgement, pending } = this.#editor;
    const found = new Map<string, string>();
    if (judgement?.kind !== "invalid") return found;
    for (const { pointer, detail } of judgement.errors) {
      const at = pointed(pointer, pending.changes);
      if (at && at.change.layer === chosen.layer.id && at.change.id === chosen.id) found.set(at.field, detail);
    }
    return found;
  }

  #buildGeometry(chosen: Chosen): void {
    const editor = this.#editor;
    const shape = editor.shape(chosen);
    const active = document.activeElement;
    const focused = this.#geometry.contains(active) ? active?.getAttribute("name") : null;
    if (!shape || editor.isDeleted(chosen)) {
      this.#geometry.replaceChildren(...(editor.isDeleted(chosen) ? [h("p", { class: "edit-note" }, t("isDeleted"))] : []));
      return;
    }
    const all = vertices(shape);
    const chosenIndex = all.findIndex(({ path }) => JSON.stringify(path) === JSON.stringify(editor.stage.path));
    const select = h("select", { name: "vertex", "aria-label": t("vertex") }, h("option", { value: "-1" }, t("noVertex")));
    for (const [number, { at }] of all.entries()) {
      const [x = 0, y = 0] = at;
      const words = t("vertexNumber", { number: number + 1, x: formatNumber(x, 3), y: formatNumber(y, 3) });
      select.append(h("option", { value: number }, words));
    }
    select.value = String(chosenIndex);
    select.addEventListener("change", () => editor.select(all[Number(select.value)]?.path ?? null));
    const area = areaOf(shape);
    const measure = area > 0 ? t("area", { value: formatNumber(area, 2) }) : t("length", { value: formatNumber(lengthOf(shape), 2) });
    if (focused === "height") return; // somebody is typing
    this.#geometry.replaceChildren(
      h("p", { class: "edit-measure" }, all.length > 1 ? measure : ""),
      ...(chosen.allowed
        ? [
            h("label", { class: "edit-vertex" }, h("span", {}, t("vertex")), select),
            ...(chosen.layer.dimension === 2 ? [] : [this.#height(shape, all[chosenIndex] ?? null)]),
            h("p", { class: "edit-quiet" }, t("verticesHint")),
          ]
        : []),
    );
    if (focused === "vertex") select.focus();
  }

  /** The height of the chosen vertex; of all where none is chosen, if they have one. */
  #height(shape: Shape, vertex: Vertex | null): HTMLElement {
    const heights = new Set((vertex ? [vertex] : vertices(shape)).map(({ at }) => at[2]));
    const height = heights.size === 1 ? [...heights][0] : undefined;
    const input = h("input", { type: "text", name: "height", inputmode: "decimal", autocomplete: "off", value: height ?? "" });
    input.addEventListener("change", () => {
      const { value, problem } = checked(input.value, { type: "number", minimum: -1000, maximum: 5000 }, false);
      input.setAttribute("aria-invalid", String(problem !== undefined));
      input.blur(); // the shape that is drawn anew brings its own field
      if (!problem) this.#editor.setShape(setHeight(shape, vertex?.path ?? null, value as number | null));
    });
    return h("label", { class: "edit-vertex" }, h("span", {}, t(vertex && heights.size === 1 ? "heightOf" : "height")), input);
  }

  // --- keyboard -----------------------------------------------------------------------------------------

  #key(event: KeyboardEvent): void {
    const editor = this.#editor;
    const typing = event.target instanceof HTMLElement && event.target.matches("input, textarea");
    const inSelect = event.target instanceof HTMLSelectElement;
    const onMap = event.target === editor.context.map.getCanvas();
    const drawing = editor.mode.kind === "draw" && editor.mode.points.length > 0;
    if (event.key === "Escape" && editor.mode.kind !== "rest") {
      event.stopPropagation();
      editor.cancel();
    } else if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && !typing) {
      event.preventDefault();
      if (drawing) editor.removePoint();
      else if (event.shiftKey) editor.pending.redo();
      else editor.pending.undo();
    } else if (event.target instanceof HTMLSelectElement && event.target.name === "vertex" && editor.stage.path) {
      const step = event.shiftKey ? 1 : 0.1;
      const moves: Record<string, [number, number]> = {
        ArrowUp: [0, step],
        ArrowDown: [0, -step],
        ArrowLeft: [-step, 0],
        ArrowRight: [step, 0],
      };
      const move = moves[event.key];
      if (move && !event.altKey) {
        event.preventDefault();
        editor.moveSelected(...move);
      } else if (event.key === "Delete") editor.removeSelected();
    } else if (event.key === "Backspace" && !typing && !inSelect && drawing) editor.removePoint();
    else if (onMap && event.key === "Delete" && editor.stage.path) editor.removeSelected();
    else if (onMap && event.key === "Enter" && editor.mode.kind === "draw") {
      event.preventDefault();
      if (event.shiftKey) void editor.finish();
      else editor.addPoint(this.#centre());
    }
  }
}
