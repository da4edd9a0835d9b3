/** Colours of the map made lighter, darker or paler, and sets of colours for classes. Pure. */

type Hsl = [hue: number, saturation: number, lightness: number];
export type Recolour = (colour: string) => string;

const HEX = /^#[0-9a-f]{6}$/i;

export function toHsl(hex: string): Hsl {
  const [r = 0, g = 0, b = 0] = channels(hex);
  const max = Math.max(r, g, b);
  const min = Math.min(r, g, b);
  const lightness = (max + min) / 2;
  if (max === min) return [0, 0, lightness];
  const range = max - min;
  const saturation = range / (1 - Math.abs(2 * lightness - 1));
  const sixth = max === r ? ((g - b) / range + 6) % 6 : max === g ? (b - r) / range + 2 : (r - g) / range + 4;
  return [sixth * 60, saturation, lightness];
}

export function fromHsl([hue, saturation, lightness]: Hsl): string {
  const chroma = saturation * Math.min(lightness, 1 - lightness);
  const channel = (n: number): string => {
    const k = (n + hue / 30) % 12;
    const value = lightness - chroma * Math.max(-1, Math.min(k - 3, 9 - k, 1));
    return Math.round(255 * value).toString(16).padStart(2, "0");
  };
  return `#${channel(0)}${channel(8)}${channel(4)}`;
}

function channels(hex: string): number[] {
  return [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16) / 255);
}

/** Contrast of two colours as WCAG 2 defines it, 1 to 21. */
export function contrast(one: string, other: string): number {
  const luminance = (hex: string): number => {
    const [r = 0, g = 0, b = 0] = channels(hex).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [low = 0, high = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

/** Every colour in an expression changed; everything else stays. */
export function recoloured(value: unknown, change: Recolour): unknown {
  if (typeof value === "string") return HEX.test(value) ? change(value) : value;
  return Array.isArray(value) ? value.map((part) => recoloured(part, change)) : value;
}

const adjusted =
  (saturation: (s: number) => number, lightness: (l: number) => number): Recolour =>
  (hex) => {
    const [h, s, l] = toHsl(hex);
    const bound = (value: number): number => Math.min(1, Math.max(0, value));
    return fromHsl([h, bound(saturation(s)), bound(lightness(l))]);
  };

export type Role = "ground" | "area" | "line" | "text" | "halo";

/** How a plain map shows the city: what lies beneath, and what is drawn on it. */
export interface Tone {
  background: string;
  /** Of sectors that are the ground. */
  ground(role: Role): Recolour | null;
  /** Of all others; null leaves them as they are. */
  other(role: Role): Recolour | null;
}

const paler: Recolour = adjusted((s) => s * 0.22, (l) => 0.8 + 0.17 * l);
const LIGHT: Tone = {
  background: "#fafaf9",
  ground: (role) => {
    if (role === "halo") return null;
    return role === "text" ? adjusted((s) => s * 0.25, (l) => Math.min(0.42, l)) : paler;
  },
  other: () => null,
};

const DARK_PAPER = "#12181d";
const dark: Record<Role, Recolour> = {
  ground: adjusted((s) => s * 0.35, (l) => 0.11 + 0.14 * (1 - l)),
  area: adjusted((s) => s * 0.7, (l) => 0.17 + 0.22 * (1 - l)),
  line: adjusted((s) => s * 0.9, (l) => Math.max(l, 0.62)),
  text: adjusted((s) => s * 0.6, (l) => Math.max(l, 0.8)),
  halo: () => DARK_PAPER,
};
const DARK: Tone = {
  background: DARK_PAPER,
  ground: (role) => {
    if (role === "line") return adjusted((s) => s * 0.35, (l) => 0.2 + 0.16 * (1 - l));
    if (role === "text") return adjusted((s) => s * 0.3, () => 0.68);
    return role === "area" ? dark.ground : dark[role];
  },
  other: (role) => dark[role],
};

export const TONES: Record<"light" | "dark", Tone> = { light: LIGHT, dark: DARK };

/** What a paint property colours; null for what is no colour. */
export function roleOf(type: string, property: string): Role | null {
  if (!property.endsWith("-color")) return null;
  if (property === "text-halo-color" || property === "circle-stroke-color") return "halo";
  if (property === "text-color") return "text";
  if (property === "background-color") return "ground";
  return type === "fill" ? "area" : "line";
}

/** Told apart by most people who see colours otherwise (after Okabe and Ito, and Tol), also on white. */
export const CATEGORIES = [
  "#0072b2", "#d55e00", "#009e73", "#aa4499", "#b8860b", "#332288", "#e41a1c", "#44aa99", "#882255", "#6b8e23", "#56b4e9", "#8c564b",
] as const;
export const OTHER = "#8a949c";

/** From little to much; every step is darker than the one before it. */
const RAMP = ["#f2a033", "#e5703a", "#cf4457", "#a22a78", "#6a2388", "#33206f"] as const;
const DARK_RAMP = ["#fff0a8", "#ffc76b", "#ff935c", "#f4689a", "#bd84f5", "#86a8ff"] as const;

/** As many colours of the ramp as there are classes, its ends among them. */
export function ramp(count: number, onDark = false): string[] {
  const colours = onDark ? DARK_RAMP : RAMP;
  const last = colours.length - 1;
  return Array.from({ length: count }, (_, i) => colours[count < 2 ? 0 : Math.round((i * last) / (count - 1))] ?? OTHER);
}
