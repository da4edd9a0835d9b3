/** The tools of the page, in the order of the toolbar, and the buttons on a feature's card. */
import type { FeatureAction, PageContext, Tool } from "./context.ts";

/** Each is a chunk of its own: `load: () => import("./measure/tool.ts")`. */
export const TOOLS: readonly Tool[] = [
  {
    id: "see",
    symbol: "eye",
    title: { vi: "Hiển thị", en: "Display" },
    load: () => import("./see/tool.ts"),
  },
  {
    id: "measure",
    symbol: "ruler",
    title: { vi: "Đo", en: "Measure" },
    load: () => import("./measure/tool.ts"),
  },
  {
    id: "select",
    symbol: "select",
    title: { vi: "Chọn vùng", en: "Select" },
    load: () => import("./ask/tool.ts"),
  },
  {
    id: "section",
    symbol: "section",
    title: { vi: "Mặt cắt", en: "Section" },
    load: () => import("./section/tool.ts"),
  },
  {
    id: "check",
    symbol: "check",
    title: { vi: "Kiểm tra", en: "Check" },
    load: () => import("./check/tool.ts"),
  },
  {
    id: "print",
    symbol: "printer",
    title: { vi: "In", en: "Print" },
    load: () => import("./print/tool.ts"),
  },
  {
    id: "share",
    symbol: "share",
    title: { vi: "Chia sẻ", en: "Share" },
    load: () => import("./share/tool.ts"),
  },
  {
    id: "edit",
    symbol: "pencil",
    title: { vi: "Chỉnh sửa", en: "Edit" },
    allowed: ({ session }) => session.isEditor,
    load: () => import("./edit/tool.ts"),
  },
];

/** `run: async (context, feature, full) => (await import("./ask/history.ts")).show(context, feature, full)`. */
export const FEATURE_ACTIONS: readonly FeatureAction[] = [
  {
    id: "edit",
    title: { vi: "Sửa", en: "Edit" },
    allowed: ({ session }, { layer }) => session.editable(layer.id) !== null,
    run: async (context, feature) => (await import("./edit/tool.ts")).edit(context, feature),
  },
  {
    id: "history",
    title: { vi: "Lịch sử", en: "History" },
    run: async (context, feature, full) => (await import("./ask/history.ts")).show(context, feature, full),
  },
  {
    id: "profile",
    title: { vi: "Trắc dọc", en: "Profile" },
    allowed: (_context, { layer }) => layer.fields.some(({ name }) => name === "invert_up_m"),
    run: async (context, feature, full) => (await import("./section/profile.ts")).showProfile(context, feature, full),
  },
  {
    id: "findings",
    title: { vi: "Phát hiện kiểm tra", en: "Findings" },
    allowed: (_context, { layer }) => !layer.id.startsWith("finding"),
    run: async (context, feature) => (await import("./check/tool.ts")).openAbout(context, feature),
  },
];

/**
 * What a link may ask for while no tool is open: it is loaded when the link says something under one of the
 * keys, and registers them.
 */
export const RESTORERS: readonly { keys: readonly string[]; load(): Promise<(context: PageContext) => void> }[] = [
  {
    keys: ["base", "theme", "filter", "colour", "order", "under"],
    load: async () => (await import("./see/view.ts")).seeView,
  },
];
