import assert from "node:assert/strict";
import { test } from "node:test";
import { fold, formatNumber, setLanguage, t } from "../src/i18n.ts";
import { TEXTS } from "../src/texts.ts";

test("both languages have the same texts with the same parameters", () => {
  assert.deepEqual(Object.keys(TEXTS.vi), Object.keys(TEXTS.en));
  const parameters = (text: string): string[] => [...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? "").sort();
  for (const key of Object.keys(TEXTS.vi) as (keyof typeof TEXTS.vi)[]) {
    assert.deepEqual(parameters(TEXTS.vi[key]), parameters(TEXTS.en[key]), key);
    assert.notEqual(TEXTS.vi[key].trim(), "", key);
    assert.notEqual(TEXTS.en[key].trim(), "", key);
    assert.equal(TEXTS.vi[key].normalize("NFC"), TEXTS.vi[key], key);
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
