/** Which findings are looked at: as text in the link, and as a condition for the server. */
import type { Box } from "../types.ts";

export const SEVERITIES = ["E", "W", "I"] as const;
export const STATES = ["open", "accepted", "mended"] as const;
export type Severity = (typeof SEVERITIES)[number];
export type State = (typeof STATES)[number];

export interface Filters {
  severity: Severity | null;
  /** null: any. */
  state: State | null;
  rule: string | null;
  /** "": findings that lie on no sheet. */
  sheet: string | null;
  owner: string | null;
  inView: boolean;
  /** Findings that name this feature. */
  about: { layer: string; fid: string } | null;
  restricted: boolean;
}

export const DEFAULTS: Filters = {
  severity: null,
  state: "open",
  rule: null,
  sheet: null,
  owner: null,
  inView: false,
  about: null,
  restricted: false,
};

const ID = /^[a-z][a-z0-9_]{0,47}$/;

/** What differs from the defaults, and the finding that is open. */
export function writeFilters(filters: Filters, finding: string | null): string {
  const text = new URLSearchParams();
  if (filters.severity) text.set("l", filters.severity);
  if (filters.state !== "open") text.set("s", filters.state ?? "any");
  if (filters.rule !== null) text.set("r", filters.rule);
  if (filters.sheet !== null) text.set("m", filters.sheet);
  if (filters.owner !== null) text.set("o", filters.owner);
  if (filters.inView) text.set("v", "1");
  if (filters.about) text.set("a", `${filters.about.layer}/${filters.about.fid}`);
  if (filters.restricted) text.set("x", "1");
  if (finding !== null) text.set("f", finding);
  return text.toString();
}

/** What a link says, as far as it makes sense. */
export function readFilters(text: string): { filters: Filters; finding: string | null } {
  const said = new URLSearchParams(text);
  const short = (key: string): string | null => said.get(key)?.slice(0, 100) ?? null;
  const [layer = "", fid = ""] = (said.get("a") ?? "").split("/");
  const state = said.get("s");
  const finding = said.get("f");
  return {
    filters: {
      severity: SEVERITIES.find((one) => one === said.get("l")) ?? null,
      state: state === "any" ? null : (STATES.find((one) => one === state) ?? "open"),
      rule: short("r"),
      sheet: short("m"),
      owner: short("o"),
      inView: said.get("v") === "1",
      about: ID.test(layer) && /^\d{1,18}$/.test(fid) ? { layer, fid } : null,
      restricted: said.get("x") === "1",
    },
    finding: finding && /^\d{1,18}$/.test(finding) ? finding : null,
  };
}

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** The condition in CQL2; "" for none. `only`: leave out rule, sheet and owner, to count what there is of them. */
export function condition(filters: Filters, only = false): string {
  const parts: string[] = [];
  if (filters.severity) parts.push(`severity = ${literal(filters.severity)}`);
  if (filters.state) parts.push(`state = ${literal(filters.state)}`);
  if (filters.about) {
    const { layer, fid } = filters.about;
    // Features are written by the server as JSON without blanks; an underscore is any letter in LIKE.
    const pattern = `%"layer":"${layer}","fid":${fid},%`.replaceAll("_", "\\_");
    parts.push(`features LIKE ${literal(pattern)}`);
  }
  if (!only) {
    if (filters.rule !== null) parts.push(`rule = ${literal(filters.rule)}`);
    if (filters.sheet !== null) parts.push(filters.sheet === "" ? "sheet IS NULL" : `sheet = ${literal(filters.sheet)}`);
    if (filters.owner !== null) parts.push(`owner = ${literal(filters.owner)}`);
  }
  return parts.join(" AND ");
}

function asked(filters: Filters, view: Box, only = false): URLSearchParams {
  const parameters = new URLSearchParams();
  const text = condition(filters, only);
  if (text) parameters.set("filter", text);
  if (filters.inView) parameters.set("bbox", view.map((one) => one.toFixed(7)).join(","));
  return parameters;
}

export const collectionOf = (filters: Filters): string => (filters.restricted ? "finding_restricted" : "finding");

export function listPath(filters: Filters, view: Box, limit: number): string {
  const parameters = asked(filters, view);
  parameters.set("f", "json");
  parameters.set("limit", String(limit));
  parameters.set("sortby", "rule,sheet");
  return `/collections/${collectionOf(filters)}/items?${parameters.toString()}`;
}

export function summaryPath(filters: Filters, view: Box): string {
  return `/findings/summary?${asked(filters, view, true).toString()}`;
}

export interface Named {
  layer: string;
  fid: number;
  asset_id: string;
}

/** The features that a finding names, out of its attribute; nothing where it is not what is expected. */
export function namedFeatures(text: unknown): Named[] {
  try {
    const found: unknown = JSON.parse(String(text ?? "[]"));
    if (!Array.isArray(found)) return [];
    return found.filter(
      (one: unknown): one is Named =>
        typeof one === "object" &&
        one !== null &&
        ID.test(String((one as Named).layer)) &&
        Number.isSafeInteger((one as Named).fid) &&
        typeof (one as Named).asset_id === "string",
    );
  } catch {
    return [];
  }
}
