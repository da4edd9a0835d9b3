/** The tools of the page, in the order of the toolbar, and the buttons on a feature's card. */
import type { FeatureAction, Tool } from "./context.ts";

/** Each is a chunk of its own: `load: () => import("./measure/tool.ts")`. */
export const TOOLS: readonly Tool[] = [
  {
    id: "measure",
    symbol: "ruler",
    title: { vi: "Đo", en: "Measure" },
    load: () => import("./measure/tool.ts"),
  },
];

/** `run: async (context, feature, full) => (await import("./ask/history.ts")).show(context, feature, full)`. */
export const FEATURE_ACTIONS: readonly FeatureAction[] = [];
