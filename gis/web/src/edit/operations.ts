/**
 * Operations that touch several features at once. The server works out what changes (a dry run of
 * /operations/...), and the answer is added to the pending changes: it is checked and saved with the others, and
 * undone as one step.
 */
import { formatValue } from "../attributes.ts";
import { h } from "../dom.ts";
import { pick, texts } from "../i18n.ts";
import { apiJson, ServerError } from "../server.ts";
import { newKey } from "./draft.ts";
import type { Chosen, Editor } from "./editor.ts";
import { Form } from "./form.ts";
import type { Shape } from "./geometry.ts";
import { type Change, keyOf, type Properties, type Sent, type Standing } from "./pending.ts";
import { refusal } from "./refusals.ts";
import { judged } from "./sender.ts";
import { TEXTS } from "./texts.ts";

const t = texts(TEXTS);

type Body = Record<string, unknown>;
type Operation = "split-line" | "merge-lines" | "move-node" | "split-parcel" | "merge-parcels" | "move-boundary";

const LEGAL_AREA = "legal_area_m2";

/** The operations' buttons for a feature, and below them what an operation asks for. */
export function operationButtons(editor: Editor, chosen: Chosen): HTMLElement {
  const ask = h("div", { class: "edit-ask", "aria-live": "polite" });
  const runner = new Runner(editor, chosen, ask);
  const button = (name: string, text: string, run: () => void): HTMLElement =>
    h("button", { type: "button", class: "text-button", "data-do": name, onclick: () => runner.start(run) }, text);
  const buttons: HTMLElement[] = [];
  const { dimension } = chosen.layer;
  if (chosen.standing === null) {
    if (dimension === 0) buttons.push(button("split-here", t("splitHere"), () => void runner.splitHere()));
  } else if (dimension === 0) buttons.push(button("move-node", t("moveNode"), () => runner.moveNode()));
  else if (dimension === 1) {
    buttons.push(button("split-line", t("splitLine"), () => runner.splitLine()));
    buttons.push(button("merge-lines", t("mergeLines"), () => runner.mergeLines()));
  } else if (dimension === 2 && chosen.schema.properties["parcel_no"]) {
    buttons.push(button("split-parcel", t("splitParcel"), () => runner.splitParcel()));
    buttons.push(button("merge-parcels", t("mergeParcels"), () => runner.mergeParcels()));
    buttons.push(button("move-boundary", t("moveBoundary"), () => runner.moveBoundary()));
  }
  if (buttons.length === 0) return ask;
  return h("details", { class: "edit-operations", open: chosen.standing === null }, h("summary", {}, t("operations")), h("div", { class: "row-of-buttons" }, ...buttons), ask);
}

class Runner {
  readonly #editor: Editor;
  readonly #chosen: Chosen;
  readonly #ask: HTMLElement;

  constructor(editor: Editor, chosen: Chosen, ask: HTMLElement) {
    this.#editor = editor;
    this.#chosen = chosen;
    this.#ask = ask;
  }

  get #named(): { layer: string; fid: number; version: number } {
    const { layer, id, standing } = this.#chosen;
    return { layer: layer.id, fid: Number(id), version: standing?.version ?? 0 };
  }

  /** An operation is worked out from what stands: what is pending for the feature would be overlooked. */
  start(run: () => void): void {
    const { standing, layer, id } = this.#chosen;
    if (standing !== null && this.#editor.pending.get(layer.id, id)) this.#say(t("saveFirst"));
    else {
      this.#ask.replaceChildren();
      run();
    }
  }

  splitLine(): void {
    const editor = this.#editor;
    const nodes = editor.layers.filter((layer) => layer.dimension === 0 && editor.context.state.sector(layer.id) === editor.context.state.sector(this.#chosen.layer.id));
    const select = h("select", { name: "node" }, h("option", { value: "" }, t("noNode")), ...nodes.map((one) => h("option", { value: one.id }, pick(one.title))));
    if (nodes[0]) select.value = nodes[0].id;
    const go = (): void =>
      editor.setMode({
        kind: "place",
        say: t("sayPlace"),
        done: (place) => {
          editor.cancel();
          const node = select.value ? { node: { layer: select.value, properties: {} } } : {};
          void this.#run("split-line", { ...this.#named, point: { type: "Point", coordinates: place }, ...node });
        },
      });
    this.#ask.replaceChildren(h("label", {}, h("span", {}, t("nodeLayer")), select), h("button", { type: "button", class: "main-button", onclick: go }, t("go")));
  }

  /** The chosen feature is a new node on a line: the line is split there, and the node is made with it. */
  async splitHere(): Promise<void> {
    const editor = this.#editor;
    const { layer, id } = this.#chosen;
    const change = editor.pending.get(layer.id, id);
    if (change?.geometry?.type !== "Point") return;
    const at = change.geometry.coordinates;
    await editor.ground.read(layer.id);
    const lines = new Set(editor.layers.filter(({ dimension }) => dimension === 1).map((one) => one.id));
    const found = editor.lineAt([at[0] ?? 0, at[1] ?? 0], lines);
    if (!found) {
      this.#say(t("sayPlace"));
      return;
    }
    if (editor.pending.get(found.layer, found.id)) {
      this.#say(t("saveFirst"));
      return;
    }
    const { version } = await editor.ground.feature(found.layer, found.id);
    const properties = Object.fromEntries(Object.entries(change.properties).filter(([, value]) => value !== null && value !== ""));
    const body = { layer: found.layer, fid: Number(found.id), version, point: change.geometry, node: { layer: layer.id, properties } };
    await this.#run("split-line", body, [keyOf(change)]);
  }

  mergeLines(): void {
    this.#pick(t("sayLine"), (second) => {
      const { layer, fid, version } = this.#named;
      void this.#run("merge-lines", { layer, first: { fid, version }, second });
    });
  }

  moveNode(): void {
    const editor = this.#editor;
    editor.setMode({
      kind: "place",
      say: t("sayTarget"),
      done: (to) => {
        editor.cancel();
        void this.#run("move-node", { ...this.#named, to: { type: "Point", coordinates: to } });
      },
    });
  }

  splitParcel(): void {
    this.#line(t("sayCut"), (line) => void this.#run("split-parcel", { ...this.#named, line, parts: [{ properties: {} }, { properties: {} }] }));
  }

  mergeParcels(): void {
    this.#pick(t("sayParcel"), (second) => {
      const { layer, fid, version } = this.#named;
      void this.#run("merge-parcels", { layer, parcels: [{ fid, version }, second] });
    });
  }

  moveBoundary(): void {
    this.#pick(t("sayParcel"), (second) => {
      const { layer, fid, version } = this.#named;
      this.#line(t("sayBoundary"), (line) => void this.#run("move-boundary", { layer, parcels: [{ fid, version }, second], line }));
    });
  }

  #line(say: string, done: (line: Shape) => void): void {
    this.#editor.setMode({ kind: "draw", layer: this.#chosen.layer, geometry: "LineString", points: [], say, done });
  }

  #pick(say: string, done: (second: { fid: number; version: number }) => void): void {
    const editor = this.#editor;
    const layer = this.#chosen.layer.id;
    editor.setMode({
      kind: "feature",
      layer,
      say,
      done: (id) => {
        if (id === this.#chosen.id) return;
        editor.cancel();
        void editor.ground.feature(layer, id).then(
          ({ version }) => done({ fid: Number(id), version }),
          (error: unknown) => this.#say(error instanceof Error ? error.message : String(error)),
        );
      },
    });
  }

  #say(text: string): void {
    this.#ask.replaceChildren(h("p", { class: "edit-note trouble", role: "alert" }, text));
    this.#ask.scrollIntoView({ block: "nearest" });
  }

  /** Has the server work it out, and asks for what it says is missing. `without`: pending changes it stands for. */
  async #run(operation: Operation, body: Body, without: readonly string[] = []): Promise<void> {
    const editor = this.#editor;
    this.#ask.replaceChildren(h("p", {}, t("working")));
    try {
      const worked = await apiJson<{ changes: Sent[] }>(`/operations/${operation}?dry-run=true`, {
        method: "POST",
        headers: { "Content-Crs": `<${editor.ground.crs}>` },
        json: body,
        timeout: 60_000,
      });
      await this.#add(operation, worked.changes, without);
    } catch (error) {
      this.#refused(operation, body, without, error);
    }
  }

  /** What was worked out joins the pending changes as one step. */
  async #add(operation: Operation, changes: readonly Sent[], without: readonly string[]): Promise<void> {
    const editor = this.#editor;
    const made = await this.#asPending(changes, `${operation} ${newKey().slice(0, 6)}`);
    const taken = made.find((one) => !without.includes(keyOf(one)) && editor.pending.get(one.layer, one.id));
    if (taken) {
      this.#say(t("saveFirst"));
      return;
    }
    editor.release();
    editor.pending.put(made, without);
    editor.context.status.say(t("done", { count: made.length }));
  }

  #refused(operation: Operation, body: Body, without: readonly string[], error: unknown): void {
    const judgement = judged(error);
    const again = (text: string, next: () => Body): HTMLElement =>
      h("button", { type: "button", class: "main-button", onclick: () => void this.#run(operation, next(), without) }, text);
    const problem = error instanceof ServerError ? error.problem : {};
    const broken = judgement.kind === "rejected";
    this.#say(broken ? t("breaks") : refusal(problem, error instanceof Error ? error.message : String(error)));
    if (judgement.kind === "invalid") {
      // An operation names what it lacks by pointers such as /parts/1/properties/parcel_no: those are asked for.
      const isField = (pointer: string): boolean => /\/properties\/[^/]+$/.test(pointer);
      const lacking = judgement.errors.map(({ pointer }) => pointer).filter(isField);
      const others = judgement.errors.filter(({ pointer, detail }) => !isField(pointer) && detail !== problem.detail);
      for (const { pointer, detail } of others) this.#ask.append(h("p", { class: "edit-error", "data-pointer": pointer }, detail));
      const names = new Set(lacking.map((pointer) => pointer.split("/").at(-1) ?? ""));
      if (lacking.length > 0) {
        const differ = problem.code === "attributes-differ";
        const form = new Form(this.#chosen.schema, (differ && this.#chosen.standing?.properties) || {}, () => undefined, { only: [...names] });
        const fill = (): Body => {
          const values = form.values();
          return lacking.reduce((made, pointer) => placed(made, pointer, values[pointer.split("/").at(-1) ?? ""]), body);
        };
        const both = h("ul", { class: "edit-findings" });
        if (differ) void this.#compare(body, names, both);
        this.#ask.append(h("p", {}, t(differ ? "keep" : "needed")), both, form.element, again(t("go"), fill));
      }
    }
    if (judgement.kind === "rejected") {
      const told = judgement.findings.map(({ rule, message, title }) => h("li", { "data-rule": rule }, h("b", {}, rule), ` ${message ?? title}`));
      this.#ask.append(h("ul", { class: "edit-findings" }, ...told));
      const list = Array.isArray(body["parcels"]) ? "parcels" : Array.isArray(body["parts"]) ? "parts" : null;
      if (list && judgement.findings.every(({ rule }) => rule === "CAD-07")) {
        const unset = (body[list] as Body[]).map((one) => ({ ...one, properties: { ...(one["properties"] as Body), [LEGAL_AREA]: null } }));
        this.#ask.append(again(t("unsetArea"), () => ({ ...body, [list]: unset })));
      }
      // What breaks a rule alone may be right with what is changed next: the changes are judged together when they are saved.
      const worked = problem["changes"];
      if (Array.isArray(worked)) {
        const add = (): void =>
          void this.#add(operation, worked as Sent[], without).catch((problem: unknown) => this.#say(String(problem)));
        this.#ask.append(h("button", { type: "button", class: "text-button", "data-do": "add-anyway", onclick: add }, t("addAnyway")));
      }
    }
    const inTheWay = problem["features"];
    if (operation === "merge-lines" && Array.isArray(inTheWay) && body["delete_nodes"] === undefined) {
      const nodes = (inTheWay as { layer: string; fid: number; version: number; asset_id: string | null }[]).filter(({ layer }) => layer !== this.#chosen.layer.id);
      if (nodes.length > 0) {
        const name = nodes.map(({ asset_id, fid }) => asset_id ?? `#${fid}`).join(", ");
        const named = nodes.map(({ layer, fid, version }) => ({ layer, fid, version }));
        this.#ask.append(again(t("deleteNode", { name }), () => ({ ...body, delete_nodes: named })));
      }
    }
    this.#ask.scrollIntoView({ block: "nearest" }); // with what was added below
  }

  /** What the two features of a merge have where they differ. */
  async #compare(body: Body, names: ReadonlySet<string>, list: HTMLElement): Promise<void> {
    const { layer, standing } = this.#chosen;
    const second = (body["second"] ?? (body["parcels"] as Body[] | undefined)?.[1]) as { fid: number };
    try {
      const other = await this.#editor.ground.feature(layer.id, String(second.fid));
      for (const name of names) {
        const field = layer.fields.find((one) => one.name === name);
        const [a, b] = [standing, other].map((one) => formatValue(one?.properties[name], field) || t("nothing"));
        list.append(h("li", {}, `${pick(field?.title) || name}: ${a} · ${b}`));
      }
    } catch (error) {
      console.warn(error); // the fields can be filled without
    }
  }

  /** What the server worked out, as pending changes: with what they are based on, and names of their own. */
  async #asPending(changes: readonly Sent[], group: string): Promise<Change[]> {
    const names = new Map(changes.flatMap((one) => (one.op === "create" ? [[one.id, `new:${newKey().slice(0, 8)}`] as const] : [])));
    const renamed = (properties: Properties | undefined): Properties =>
      Object.fromEntries(Object.entries(properties ?? {}).map(([name, value]) => [name, names.get(value as string) ?? value]));
    return Promise.all(
      changes.map(async (one): Promise<Change> => {
        if (one.op === "create") {
          const { geometry, properties } = one.feature;
          return { op: "create", layer: one.layer, id: names.get(one.id) ?? one.id, base: null, properties: renamed(properties), group, ...(geometry ? { geometry } : {}) };
        }
        const base: Standing = { ...(await this.#editor.ground.feature(one.layer, String(one.fid))), version: one.version };
        if (one.op === "delete") return { op: "delete", layer: one.layer, id: String(one.fid), base, properties: {}, group };
        return { op: "update", layer: one.layer, id: String(one.fid), base, properties: renamed(one.properties), group, ...(one.geometry ? { geometry: one.geometry } : {}) };
      }),
    );
  }
}

/** A copy of a document with a value at a JSON pointer; what is missing on the way is made. */
export function placed(document: Body, pointer: string, value: unknown): Body {
  const walk = (one: unknown, [head = "", ...rest]: string[]): unknown => {
    const next = rest.length === 0 ? value : walk((one as Body | undefined)?.[head], rest);
    if (Array.isArray(one)) return one.map((part: unknown, index) => (String(index) === head ? next : part));
    return { ...(one as Body | undefined), [head]: next };
  };
  return walk(document, pointer.split("/").slice(1)) as Body;
}

