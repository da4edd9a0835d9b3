/** The pending changes: the list, undo and redo, comment and source, and what the server says to them. */
import { bounds } from "../bounds.ts";
import { h, iconButton } from "../dom.ts";
import { formatNumber, pick, texts } from "../i18n.ts";
import { ConflictView } from "./conflict-view.ts";
import type { Editor } from "./editor.ts";
import { type Change, keyOf, pointed, result } from "./pending.ts";
import type { Finding, Judgement } from "./sender.ts";
import { TEXTS } from "./texts.ts";

const t = texts(TEXTS);

const OPS = { create: "create", update: "update", delete: "deleteOp" } as const;

export class Changes {
  readonly element = h("section", { class: "edit-changes" });
  readonly #editor: Editor;
  readonly #formIsRight: () => boolean;
  readonly #list = h("ul", { class: "edit-list" });
  readonly #undo = iconButton("undo", "", () => this.#editor.pending.undo(), { class: "icon-button", "data-do": "undo" });
  readonly #redo = iconButton("redo", "", () => this.#editor.pending.redo(), { class: "icon-button", "data-do": "redo" });
  readonly #title = h("h3", {});
  readonly #comment = h("input", { type: "text", name: "comment", maxlength: 2000, autocomplete: "off" });
  readonly #source = h("input", { type: "text", name: "source", maxlength: 2000, autocomplete: "off" });
  readonly #commentLabel = h("span", {});
  readonly #sourceLabel = h("span", {});
  readonly #check = h("button", { type: "button", class: "edit-check", "data-do": "check", onclick: () => void this.#act("check") });
  readonly #save = h("button", { type: "button", class: "main-button", "data-do": "save", onclick: () => void this.#act("save") });
  readonly #status = h("div", { class: "edit-status", role: "status", "aria-live": "polite" });
  #judgement: Judgement | null = null;
  #said = "";

  /** `formIsRight`: whether the open form holds no mistakes; it shows them. */
  constructor(editor: Editor, formIsRight: () => boolean) {
    this.#editor = editor;
    this.#formIsRight = formIsRight;
    const { comment, source } = editor.draft.content;
    this.#comment.value = comment;
    this.#source.value = source;
    this.#comment.addEventListener("input", () => editor.draft.set({ comment: this.#comment.value }));
    this.#source.addEventListener("input", () => editor.draft.set({ source: this.#source.value }));
    this.element.append(
      h("header", {}, this.#title, this.#undo, this.#redo),
      this.#list,
      h(
        "div",
        { class: "edit-about" },
        h("label", {}, this.#commentLabel, this.#comment),
        h("label", {}, this.#sourceLabel, this.#source),
      ),
      h("div", { class: "edit-buttons" }, this.#check, this.#save),
      this.#status,
    );
  }

  async #act(what: "check" | "save"): Promise<void> {
    if (!this.#formIsRight()) {
      this.#editor.context.status.say(t("formInvalid"));
      return;
    }
    await this.#editor[what]();
    if (this.#editor.judgement?.kind === "fine" && what === "save") {
      this.#comment.value = "";
      this.#source.value = "";
    }
  }

  refresh(): void {
    const { pending, sender, busy } = this.#editor;
    const waiting = sender.outbox !== null;
    const count = pending.changes.length;
    const label = (button: HTMLButtonElement, text: string, enabled: boolean): void => {
      button.title = text;
      button.setAttribute("aria-label", text);
      button.disabled = !enabled;
    };
    label(this.#undo, t("undo"), pending.canUndo);
    label(this.#redo, t("redo"), pending.canRedo);
    this.#title.textContent = count > 0 ? `${t("pending")} (${formatNumber(count)})` : t("pending");
    this.#commentLabel.textContent = t("comment");
    this.#sourceLabel.textContent = t("source");
    this.#comment.placeholder = t("commentHint");
    this.#source.placeholder = t("sourceHint");
    this.#check.textContent = t("check");
    this.#save.textContent = t("save");
    this.#check.disabled = count === 0 || busy;
    this.#save.disabled = count === 0 || busy || waiting;
    const inList = this.#list.contains(document.activeElement);
    this.#list.replaceChildren(
      ...(sender.outbox?.changes ?? []).map((change) => this.#row(change, true)),
      ...pending.changes.map((change) => this.#row(change, false)),
      ...(count === 0 && !waiting ? [h("li", { class: "edit-quiet" }, t("pendingNone"))] : []),
    );
    // The button that was pressed is gone: what it did can be undone.
    if (inList) this.#undo.focus();
    this.#refreshStatus();
  }

  #titleOf(change: Change): string {
    const layer = this.#editor.context.state.layers.get(change.layer);
    const { properties } = result(change);
    const name = change.op === "create" ? "" : String(properties["asset_id"] ?? `#${change.id}`);
    return `${pick(layer?.title) || change.layer} ${name}`.trim();
  }

  #row(change: Change, sending: boolean): HTMLElement {
    const title = this.#titleOf(change);
    const names = Object.keys(change.op === "update" ? change.properties : {});
    const layer = this.#editor.context.state.layers.get(change.layer);
    const words = names.map((name) => pick(layer?.fields.find((field) => field.name === name)?.title) || name);
    if (change.op === "update" && change.geometry) words.unshift(t("geometry"));
    const open = (): void => void this.#editor.choose(change.layer, change.id);
    return h(
      "li",
      { class: `edit-change ${change.op}`, "data-key": keyOf(change) },
      h(
        "button",
        { type: "button", class: "edit-open", title: t("openChange", { title }), disabled: sending, onclick: open },
        h("b", {}, t(OPS[change.op])),
        ` ${title}`,
        words.length > 0 ? h("small", {}, words.join(", ")) : null,
      ),
      sending ? null : iconButton("close", t("dropChange", { title }), () => this.#drop(change), { class: "icon-button", "data-do": "drop" }),
    );
  }

  #drop(change: Change): void {
    const { chosen, pending } = this.#editor;
    if (change.op === "create" && chosen?.id === change.id) this.#editor.release();
    pending.drop(keyOf(change));
  }

  // --- what the server says ---------------------------------------------------------------------------

  #refreshStatus(): void {
    const { sender, judgement, busy } = this.#editor;
    const said = `${sender.state} ${busy}`;
    if (judgement === this.#judgement && said === this.#said) return;
    this.#judgement = judgement;
    this.#said = said;
    if (busy) this.#status.replaceChildren(h("p", {}, t("checking")));
    else if (sender.state === "sending") this.#status.replaceChildren(h("p", {}, t("sending")));
    else if (sender.state === "waiting") {
      const now = h("button", { type: "button", class: "text-button", onclick: () => sender.retry() }, t("sendNow"));
      this.#status.replaceChildren(h("p", { class: "edit-note trouble" }, t("waiting"), " ", now));
    } else this.#status.replaceChildren(...(judgement ? this.#words(judgement) : []));
    if (this.#status.childElementCount > 0) this.#status.scrollIntoView({ block: "nearest" });
  }

  #words(judgement: Judgement): Node[] {
    const trouble = (text: string): HTMLElement => h("p", { class: "edit-note trouble" }, text);
    switch (judgement.kind) {
      case "fine": {
        const count = judgement.findings.length;
        if (this.#editor.pending.changes.length === 0 && count === 0) return [h("p", { class: "edit-note fine" }, t("saved"))];
        const text = count > 0 ? t("fineWith", { count }) : t("fine");
        return [h("p", { class: "edit-note fine" }, text), this.#findings(judgement.findings)];
      }
      case "rejected":
        return [
          trouble(t("rejected", { count: judgement.findings.length })),
          this.#findings(judgement.findings),
          ...(judgement.warnings.length > 0 ? [h("p", {}, t("warnings")), this.#findings(judgement.warnings)] : []),
        ];
      case "invalid":
        return [trouble(t("invalid")), h("ul", { class: "edit-findings" }, ...judgement.errors.map((error) => this.#error(error)))];
      case "conflict":
        return [trouble(t("conflict")), ...judgement.conflicts.map((one) => new ConflictView(this.#editor, one).element)];
      default:
        return [trouble(judgement.message)];
    }
  }

  #findings(findings: readonly Finding[]): HTMLElement {
    return h(
      "ul",
      { class: "edit-findings" },
      ...findings.map((finding) => {
        const { place } = finding;
        const show = (): void => this.#editor.context.zoomTo(bounds(place as NonNullable<typeof place>), 20);
        return h(
          "li",
          { "data-rule": finding.rule },
          h("b", {}, finding.rule),
          ` ${finding.message ?? finding.title} `,
          place ? h("button", { type: "button", class: "text-button", onclick: show }, t("showPlace")) : null,
        );
      }),
    );
  }

  #error({ pointer, detail }: { pointer: string; detail: string }): HTMLElement {
    const at = pointed(pointer, this.#editor.pending.changes);
    if (!at) return h("li", {}, `${pointer} ${detail}`);
    const layer = this.#editor.context.state.layers.get(at.change.layer);
    const field = pick(layer?.fields.find(({ name }) => name === at.field)?.title) || at.field;
    const title = `${this.#titleOf(at.change)} · ${field}`;
    const open = (): void => void this.#editor.choose(at.change.layer, at.change.id);
    return h("li", { "data-pointer": pointer }, h("button", { type: "button", class: "text-button", onclick: open }, t("errorAt", { title, detail })));
  }
}
