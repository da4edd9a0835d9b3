/** Asking the server, with a time limit and errors that a person can read. */
import { t } from "./i18n.ts";

const TIMEOUT_MS = 20_000;

/** A request that failed; the message is a sentence in the page's language. */
export class ServerError extends Error {
  override readonly name = "ServerError";
}

/** An absolute address on this server; MapLibre's worker cannot resolve relative ones. */
export function absolute(url: string): string {
  return decodeURI(new URL(url, window.location.origin).href);
}

/** The detail of a problem document (RFC 9457), if the answer is one. */
async function problemDetail(response: Response): Promise<string> {
  try {
    const problem: unknown = await response.json();
    if (problem && typeof problem === "object" && "detail" in problem && typeof problem.detail === "string") {
      return problem.detail;
    }
  } catch {
    // Not JSON: the status says enough.
  }
  return "";
}

/** GET as JSON. Raises ServerError when the server cannot be reached, is slow, refuses or answers badly. */
export async function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  const limit = AbortSignal.timeout(TIMEOUT_MS);
  const both = signal ? AbortSignal.any([signal, limit]) : limit;
  let response: Response;
  try {
    response = await fetch(path, { headers: { Accept: "application/geo+json, application/json" }, signal: both });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ServerError(limit.aborted ? t("serverSlow") : t("serverDown"));
  }
  if (!response.ok) {
    const detail = await problemDetail(response);
    throw new ServerError(`${t("serverError", { status: response.status })} ${detail}`.trim());
  }
  try {
    return (await response.json()) as T;
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ServerError(limit.aborted ? t("serverSlow") : t("badAnswer"));
  }
}
