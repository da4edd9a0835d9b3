/**
 * Asking the server: with the login, a time limit, and errors that a person can read.
 *
 * Whoever asks adds nothing about logins: `api` shows who is logged in, and where the server wants a login
 * (or the one that was shown ended) it has the reader asked, and asks the server again.
 */
import { language, t } from "./i18n.ts";

const TIMEOUT_MS = 20_000;

/** A problem document (RFC 9457), as far as it is one. */
export interface Problem {
  code?: string;
  detail?: string;
  hint?: string;
  errors?: { pointer?: string; parameter?: string; detail: string }[];
  [member: string]: unknown;
}

/** A request that failed; the message is a sentence in the page's language. */
export class ServerError extends Error {
  override readonly name = "ServerError";
  /** HTTP status; 0 when there was no answer. */
  readonly status: number;
  readonly problem: Problem;
  /** Seconds after which to try again, when the server said it. */
  readonly retryAfter: number | null;

  constructor(message: string, status = 0, problem: Problem = {}, retryAfter: number | null = null) {
    super(message);
    this.status = status;
    this.problem = problem;
    this.retryAfter = retryAfter;
  }

  /** Nobody knows whether the server did what it was asked for. */
  get unanswered(): boolean {
    return this.status === 0;
  }
}

export interface ApiInit {
  method?: string;
  headers?: Record<string, string>;
  body?: BodyInit;
  /** Sent as JSON, in place of a body. */
  json?: unknown;
  signal?: AbortSignal | undefined;
  /** Milliseconds for the whole answer; 0: no limit. */
  timeout?: number;
  /** false: a refused login is an error; the reader is not asked. */
  ask?: boolean;
}

/** An absolute address on this server; MapLibre's worker cannot resolve relative ones. */
export function absolute(url: string): string {
  return decodeURI(new URL(url, window.location.origin).href);
}

let login: string | null = null;
let askForLogin: (() => Promise<boolean>) | null = null;

/** The Authorization header of all requests from now on; null: nobody's. For session.ts. */
export function setLogin(header: string | null): void {
  login = header;
}

/** Who asks the reader to log in; the promise tells whether he did. For session.ts. */
export function onLoginNeeded(ask: () => Promise<boolean>): void {
  askForLogin = ask;
}

/** The login for a request that others make (MapLibre), if the address is this server's. */
export function loginHeaders(url: string): Record<string, string> {
  return login !== null && isOwn(url) ? { Authorization: login } : {};
}

function isOwn(url: string): boolean {
  return new URL(url, window.location.origin).origin === window.location.origin;
}

/** What the server said, as far as it is a problem document. */
async function problemOf(response: Response): Promise<Problem> {
  try {
    const found: unknown = await response.json();
    if (found && typeof found === "object") return found as Problem;
  } catch {
    // Not JSON: the status says enough.
  }
  return {};
}

async function failure(response: Response): Promise<ServerError> {
  const problem = await problemOf(response);
  const detail = typeof problem.detail === "string" ? problem.detail : "";
  const wait = Number(response.headers.get("Retry-After") ?? Number.NaN);
  return new ServerError(
    `${t("serverError", { status: response.status })} ${detail}`.trim(),
    response.status,
    problem,
    Number.isFinite(wait) ? wait : null,
  );
}

/** One request. The browser's own cookies and passwords stay out of it, and it never leaves this server. */
async function send(path: string, init: ApiInit, shown: string | null): Promise<Response> {
  const limit = init.timeout === 0 ? null : AbortSignal.timeout(init.timeout ?? TIMEOUT_MS);
  const signals = [limit, init.signal].filter((signal) => signal instanceof AbortSignal);
  const body = init.json === undefined ? init.body : JSON.stringify(init.json);
  try {
    return await fetch(path, {
      method: init.method ?? "GET",
      headers: {
        Accept: "application/geo+json, application/json",
        "Accept-Language": language(),
        ...(init.json === undefined ? {} : { "Content-Type": "application/json" }),
        ...(shown === null ? {} : { Authorization: shown }),
        ...init.headers,
      },
      ...(body === undefined ? {} : { body }),
      // Requests that change something are refused when they come from another site's page: the browser
      // says by itself (Origin, Sec-Fetch-Site) that this one does not.
      mode: "same-origin",
      credentials: "omit",
      redirect: "error",
      signal: AbortSignal.any(signals),
    });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ServerError(limit?.aborted ? t("serverSlow") : t("serverDown"));
  }
}

/**
 * A request to this server with the login of the reader. Raises ServerError when the server cannot be
 * reached, is slow, or refuses (status and problem document are in the error).
 */
export async function api(path: string, init: ApiInit = {}): Promise<Response> {
  if (!isOwn(path)) throw new Error(`not an address of this server: ${path}`);
  let shown = login;
  let response = await send(path, init, shown);
  while (response.status === 401 && init.ask !== false) {
    // Another request may have asked meanwhile: then the new login is tried without asking again.
    if (login === shown && !(await askForLogin?.())) {
      if (shown !== null && (init.method ?? "GET") === "GET") {
        // Logged out: what anybody may read is read as anybody.
        return api(path, { ...init, ask: false });
      }
      break;
    }
    shown = login;
    response = await send(path, init, shown);
  }
  if (!response.ok) throw await failure(response);
  return response;
}

/** As `api`; the answer as JSON. */
export async function apiJson<T>(path: string, init: ApiInit = {}): Promise<T> {
  const response = await api(path, init);
  try {
    return (await response.json()) as T;
  } catch (error) {
    if (init.signal?.aborted) throw error;
    const slow = error instanceof DOMException && error.name === "TimeoutError";
    throw new ServerError(slow ? t("serverSlow") : t(error instanceof SyntaxError ? "badAnswer" : "serverDown"));
  }
}

/** GET as JSON. Raises ServerError when the server cannot be reached, is slow, refuses or answers badly. */
export async function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  return apiJson<T>(path, { signal });
}
