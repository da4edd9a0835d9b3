/** Building elements. Text always becomes a text node, never markup, whatever it holds. */
type Child = Node | string | null | false;
type Properties = Record<string, string | number | boolean | null | ((event: Event) => void)>;

/**
 * An element with attributes (`null` and `false` are left out, `true` is an empty attribute), event
 * listeners (`onclick`) and children. No attribute that can run code or hold inline style is set here.
 */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Properties = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child): child is Node | string => child !== null && child !== false));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(tag: string, attributes: Record<string, string | number>, ...children: Node[]): SVGElement {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** Drawings of the page's own buttons: paths on a 20 by 20 grid, drawn as strokes. */
const SYMBOLS = {
  layers: "M10 3 2.5 7 10 11l7.5-4L10 3ZM3 10.5l7 3.8 7-3.8M3 13.8l7 3.7 7-3.7",
  close: "M5 5l10 10M15 5 5 15",
  plus: "M10 4v12M4 10h12",
  minus: "M4 10h12",
  home: "M3 9.5 10 3.5l7 6M5 8.5V16h3.6v-4h2.8v4H15V8.5",
  link: "M8.5 11.5a3 3 0 0 0 4.3 0l3-3a3 3 0 0 0-4.3-4.3l-1 1M11.5 8.5a3 3 0 0 0-4.3 0l-3 3a3 3 0 0 0 4.3 4.3l1-1",
  chevron: "M7 5l5 5-5 5",
  back: "M12 5l-5 5 5 5",
  search: "M8.5 13.5a5 5 0 1 0 0-10 5 5 0 0 0 0 10ZM12.2 12.2 17 17",
  copy: "M7 7V4h9v9h-3M4 7h9v9H4V7Z",
  target: "M10 2v4M10 14v4M2 10h4M14 10h4M10 14a4 4 0 1 0 0-8 4 4 0 0 0 0 8Z",
  open: "M11 4h5v5M16 4l-7 7M14 11.5V16H4V6h4.5",
  warning: "M10 3 2 16.5h16L10 3ZM10 8.5v4M10 14.6v.2",
  pin: "M10 18s5.5-5.6 5.5-10a5.5 5.5 0 0 0-11 0c0 4.4 5.5 10 5.5 10ZM10 10a2 2 0 1 0 0-4 2 2 0 0 0 0 4Z",
  parcel: "M3 5.5 9 3l8 3-1.5 10L5 17 3 5.5ZM9 3l1.5 13.5",
  asset: "M10 2.5 16.5 6v8L10 17.5 3.5 14V6L10 2.5ZM3.5 6 10 9.5 16.5 6M10 9.5v8",
  street: "M7 3 4 17M13 3l3 14M10 4v2M10 9v2M10 14v2",
  flag: "M5 18V3M5 4h10l-2.5 3.5L15 11H5",
  grid: "M3 3h14v14H3V3ZM3 10h14M10 3v14",
  ruler: "M2.5 13.5 13.5 2.5l4 4L6.5 17.5l-4-4ZM5.5 10.5l2 2M8.5 7.5l2 2M11.5 4.5l2 2",
  select: "M3 6V3h3M9 3h2M14 3h3v3M17 9v2M17 14v3h-3M11 17H9M6 17H3v-3M3 11V9",
  check: "M4 3h12v14H4V3ZM7 10l2 2.5 4-5",
  sliders: "M3 6h8M15 6h2M13 4v4M3 14h3M10 14h7M8 12v4",
  user: "M10 10a3.2 3.2 0 1 0 0-6.4A3.2 3.2 0 0 0 10 10ZM3.5 17c.4-3.2 3-5 6.5-5s6.1 1.8 6.5 5",
  pencil: "M4 16l.8-3.4 8.4-8.4a1.6 1.6 0 0 1 2.3 0l.3.3a1.6 1.6 0 0 1 0 2.3l-8.4 8.4L4 16ZM11.5 6l2.6 2.6",
  undo: "M7.5 4.5 4 8l3.5 3.5M4 8h7.5a4.5 4.5 0 0 1 0 9H8",
  redo: "M12.5 4.5 16 8l-3.5 3.5M16 8H8.5a4.5 4.5 0 0 0 0 9H12",
  bin: "M4 6h12M8 6V4h4v2M5.5 6l.8 11h7.4l.8-11M8.5 9v5M11.5 9v5",
  eye: "M2 10s3-5.5 8-5.5 8 5.5 8 5.5-3 5.5-8 5.5S2 10 2 10ZM10 12.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5Z",
  grip: "M7 5v.1M13 5v.1M7 10v.1M13 10v.1M7 15v.1M13 15v.1",
  printer: "M6 7V3h8v4M6 14H3V7h14v7h-3M6 11.5h8V17H6v-5.5Z",
  share: "M7.3 8.8l5.4-2.6M7.3 11.2l5.4 2.6M5.5 12a2 2 0 1 0 0-4 2 2 0 0 0 0 4ZM14.5 7a2 2 0 1 0 0-4 2 2 0 0 0 0 4ZM14.5 17a2 2 0 1 0 0-4 2 2 0 0 0 0 4Z",
  section: "M2 5h16M4 5v0M5.5 9.5a1.8 1.8 0 1 0 .1 0ZM13 12.5a2.6 2.6 0 1 0 .1 0ZM2 2.5h2M8 2.5h2M14 2.5h2",
} as const;

export type Symbol = keyof typeof SYMBOLS;

export function symbol(name: Symbol): SVGElement {
  return svg(
    "svg",
    { viewBox: "0 0 20 20", width: 20, height: 20, "aria-hidden": "true", class: "symbol" },
    svg("path", { d: SYMBOLS[name] }),
  );
}

/** A button that shows a drawing; its name is both the tooltip and what a screen reader says. */
export function iconButton(
  name: Symbol,
  label: string,
  onclick: (event: Event) => void,
  properties: Properties = {},
): HTMLButtonElement {
  return h("button", { type: "button", title: label, "aria-label": label, onclick, ...properties }, symbol(name));
}
