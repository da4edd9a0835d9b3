/** The editing tool: for whoever may edit some layer. */
import "./edit.css";
import type { PageContext, ToolPanel } from "../context.ts";
import { h } from "../dom.ts";
import type { Found } from "../identify.ts";
import { texts } from "../i18n.ts";
import { isEmpty, openDraft } from "./draft.ts";
import { Editor } from "./editor.ts";
import { EditPanel } from "./panel.ts";
import { TEXTS } from "./texts.ts";

const t = texts(TEXTS);

/** What the card asked to edit, for the tool that is about to open; and the tool that is open. */
let wanted: { layer: string; fid: string } | null = null;
let present: Editor | null = null;

/** Opens the tool with this feature. */
export async function edit(context: PageContext, { layer, fid }: Found): Promise<void> {
  wanted = { layer: layer.id, fid };
  if (present) {
    context.closeCard();
    void present.choose(layer.id, fid);
  } else await context.openTool("edit");
}

export function open(context: PageContext): ToolPanel {
  const element = h("div", { class: "edit-tool" });
  let editor: Editor | null = null;
  let panel: EditPanel | null = null;
  let closed = false;
  const failed = (error: unknown): void => {
    console.warn(error);
    context.status.say(error instanceof Error ? error.message : String(error));
  };
  const unsaved = (event: BeforeUnloadEvent): void => {
    if (editor && !isEmpty(editor.draft.content)) event.preventDefault();
  };
  const begin = async (): Promise<void> => {
    if (name === undefined) return;
    const draft = await openDraft(name, () => context.status.say(t("notKept")));
    if (closed) return;
    editor = new Editor(context, draft, failed);
    panel = new EditPanel(editor);
    element.replaceChildren(panel.element);
    const count = draft.content.changes.length + (draft.content.outbox?.changes.length ?? 0);
    if (count > 0) context.status.say(t("found", { count }));
    void editor.resume();
    present = editor;
    if (wanted) void editor.choose(wanted.layer, wanted.fid);
    wanted = null;
  };
  const name = context.session.me?.name;
  context.session.onChange(() => {
    if (!closed && context.session.me?.name !== name) context.dock.close();
  });
  window.addEventListener("beforeunload", unsaved);
  void begin().catch(failed);
  return {
    element,
    close: () => {
      closed = true;
      present = null;
      panel?.end();
      editor?.end();
      // What is not saved stays in the draft, and is warned of: the tool opens it again.
      if (!editor || isEmpty(editor.draft.content)) window.removeEventListener("beforeunload", unsaved);
    },
  };
}
