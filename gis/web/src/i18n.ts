/** The page's language: texts, numbers and dates, and who wants to hear of a change. */
import { TEXTS, type TextKey } from "./texts.ts";
import type { Language, Text } from "./types.ts";

const LOCALES: Record<Language, string> = { vi: "vi-VN", en: "en-GB" };

let current: Language = "vi";
const listeners = new Set<() => void>();

export function isLanguage(value: unknown): value is Language {
  return value === "vi" || value === "en";
}

export function language(): Language {
  return current;
}

export function setLanguage(next: Language): void {
  if (next === current) return;
  current = next;
  for (const listener of listeners) listener();
}

/** Calls the listener after each change of language. */
export function onLanguage(listener: () => void): void {
  listeners.add(listener);
}

/** What a text's {name}s are replaced by. */
type Parameters = Record<string, string | number>;

function filled(text: string, parameters: Parameters): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(parameters[name] ?? whole));
}

/** A text of the dictionary, with {name} replaced by its parameter. */
export function t(key: TextKey, parameters: Parameters = {}): string {
  return filled(TEXTS[current][key], parameters);
}

/**
 * The `t` of a tool that brings its own dictionary, which loads with the tool. Dictionaries stand in files
 * called `texts.ts` and are exported as TEXTS, where a test looks for them.
 */
export function texts<Key extends string>(
  dictionary: Record<Language, Record<Key, string>>,
): (key: Key, parameters?: Parameters) => string {
  return (key, parameters = {}) => filled(dictionary[current][key], parameters);
}

/** A text of the catalogue in the page's language; the other language where that one is empty. */
export function pick(text: Text | null | undefined): string {
  if (!text) return "";
  return text[current] || text.vi || text.en || "";
}

export function formatNumber(value: number, maximumFractionDigits = 6): string {
  return new Intl.NumberFormat(LOCALES[current], { maximumFractionDigits }).format(value);
}

/** Short counts for narrow places: 1,2 N / 1.2K. */
export function formatCount(value: number): string {
  if (value < 10_000) return formatNumber(value, 0);
  return new Intl.NumberFormat(LOCALES[current], { notation: "compact", maximumFractionDigits: 1 }).format(value);
}

/** A date or an instant as people of the language write it; the text itself when it is no date. */
export function formatDate(value: string, withTime: boolean): string {
  const day = /^(\d{4})-(\d{2})-(\d{2})$/.exec(value);
  const date = day ? new Date(Number(day[1]), Number(day[2]) - 1, Number(day[3])) : new Date(value);
  if (Number.isNaN(date.getTime())) return value;
  return new Intl.DateTimeFormat(LOCALES[current], {
    dateStyle: "medium",
    ...(withTime && !day ? { timeStyle: "short" as const } : {}),
  }).format(date);
}

/** Lower case without Vietnamese marks, for searching: "Đường ống" -> "duong ong". */
export function fold(text: string): string {
  return text
    .normalize("NFD")
    .replace(/\p{M}/gu, "")
    .replace(/đ/gi, "d")
    .toLowerCase();
}
