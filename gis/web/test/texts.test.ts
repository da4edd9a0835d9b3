import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { test } from "node:test";
import { fold, formatNumber, setLanguage, t } from "../src/i18n.ts";

interface Dictionary {
  vi: Record<string, string>;
  en: Record<string, string>;
}

const SOURCES = new URL("../src/", import.meta.url);

/** The page's own dictionary and those that tools bring. */
async function dictionaries(): Promise<[string, Dictionary][]> {
  const files = (await readdir(SOURCES, { recursive: true })).filter((file) => /(^|\/)texts\.ts$/.test(file));
  return Promise.all(
    files.map(async (file): Promise<[string, Dictionary]> => {
      const { TEXTS } = (await import(new URL(file, SOURCES).href)) as { TEXTS: Dictionary };
      return [file, TEXTS];
    }),
  );
}

test("both languages have the same texts with the same parameters", async () => {
  const found = await dictionaries();
  assert.ok(found.some(([file]) => file === "texts.ts"));
  const parameters = (text: string): string[] => [...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? "").sort();
  for (const [file, { vi, en }] of found) {
    assert.deepEqual(Object.keys(vi), Object.keys(en), file);
    for (const [key, text] of Object.entries(vi)) {
      const english = en[key] ?? "";
      assert.deepEqual(parameters(text), parameters(english), `${file} ${key}`);
      assert.notEqual(text.trim(), "", `${file} ${key}`);
      assert.notEqual(english.trim(), "", `${file} ${key}`);
      assert.equal(text.normalize("NFC"), text, `${file} ${key}`);
    }
  }
});

test("texts and numbers follow the language", () => {
  setLanguage("en");
  assert.equal(t("featureCount", { count: 3 }), "3 features");
  assert.equal(formatNumber(1234.5), "1,234.5");
  setLanguage("vi");
  assert.equal(t("featureCount", { count: 3 }), "3 đối tượng");
  assert.equal(formatNumber(1234.5), "1.234,5");
});

test("searching is blind to case and Vietnamese marks", () => {
  assert.equal(fold("Đường ống cấp nước Ế ữ"), "duong ong cap nuoc e u");
});
