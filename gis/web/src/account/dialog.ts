/** The dialog that logs somebody in, and the one that says who is logged in. */
import "./account.css";
import { h } from "../dom.ts";
import { formatDate, pick, t as common, texts } from "../i18n.ts";
import { ServerError } from "../server.ts";
import { basicHeader, type Grant, type Me, type Session, tokenHeader } from "../session.ts";
import type { Catalogue } from "../types.ts";
import { TEXTS } from "./texts.ts";

const t = texts(TEXTS);

/** A dialog over everything else; it is taken away when it closes. Resolves with its return value. */
function modal(label: string, ...children: Node[]): { dialog: HTMLDialogElement; closed: Promise<string> } {
  const dialog = h("dialog", { class: "account-dialog", "aria-label": label }, ...children);
  document.body.append(dialog);
  const closed = new Promise<string>((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue);
    });
  });
  // Escape closes the dialog alone, not the card and the dock behind it.
  dialog.addEventListener("keydown", (event) => event.stopPropagation());
  dialog.showModal();
  return { dialog, closed };
}

function waitWords(seconds: number): string {
  return seconds < 90 ? t("seconds", { count: seconds }) : t("minutes", { count: Math.ceil(seconds / 60) });
}

/** Why a login was refused, as the reader is told. */
function refusal(error: unknown, byToken: boolean): string {
  if (!(error instanceof ServerError)) return String(error);
  if (error.status === 401) return t(byToken ? "wrongToken" : "wrongPassword");
  if (error.status === 429) {
    const seconds = Math.max(1, Math.ceil(error.retryAfter ?? 60));
    const time = new Date(Date.now() + seconds * 1000).toISOString();
    return t("throttled", { time: formatDate(time, true), wait: waitWords(seconds) });
  }
  return error.message;
}

/** Asks for name and password (or a token) until they are right or the reader gives up. */
export async function askLogin(session: Session): Promise<boolean> {
  const before = document.activeElement;
  const name = h("input", {
    name: "username",
    autocomplete: "username",
    autocapitalize: "none",
    spellcheck: "false",
    value: session.me?.name ?? "",
  });
  const password = h("input", { name: "password", type: "password", autocomplete: "current-password" });
  const token = h("input", { name: "token", type: "password", autocomplete: "off", spellcheck: "false" });
  const remember = h("input", { type: "checkbox", name: "remember" });
  const problem = h("p", { class: "account-problem", role: "alert", hidden: true });
  const submit = h("button", { type: "submit", class: "main-button" }, t("title"));
  const cancel = h("button", { type: "button", class: "text-button", onclick: () => dialog.close("") }, t("cancel"));
  const field = (label: string, input: HTMLInputElement): HTMLLabelElement =>
    h("label", { class: "account-field" }, h("span", {}, label), input);
  const passwords = [field(t("name"), name), field(t("password"), password)];
  const tokens = [field(t("token"), token)];
  const how = (value: string, label: string, checked: boolean): HTMLLabelElement => {
    const input = h("input", { type: "radio", name: "how", value, checked });
    input.addEventListener("change", () => choose(value === "token"));
    return h("label", {}, input, label);
  };
  let byToken = false;
  const choose = (chosen: boolean): void => {
    byToken = chosen;
    for (const one of passwords) one.hidden = byToken;
    for (const one of tokens) one.hidden = !byToken;
    problem.hidden = true;
  };
  choose(false);
  const form = h(
    "form",
    { novalidate: true },
    h("h2", {}, t("title")),
    h("p", { class: "account-why" }, t(session.me ? "ended" : "why")),
    h(
      "fieldset",
      { class: "account-how" },
      h("legend", {}, t("how")),
      how("password", t("byPassword"), true),
      how("token", t("byToken"), false),
    ),
    ...passwords,
    ...tokens,
    h("label", { class: "account-remember" }, remember, t("remember")),
    problem,
    h("div", { class: "account-buttons" }, submit, cancel),
  );
  const tell = (text: string): void => {
    problem.textContent = text;
    problem.hidden = false;
  };
  const attempt = async (): Promise<void> => {
    const filled = byToken ? token.value.trim() !== "" : name.value.trim() !== "" && password.value !== "";
    if (!filled) return tell(t("empty"));
    submit.disabled = true;
    try {
      const header = byToken ? tokenHeader(token.value) : basicHeader(name.value.trim(), password.value);
      await session.login(header, remember.checked);
      dialog.close("done");
    } catch (error) {
      tell(refusal(error, byToken));
      const wrong = byToken ? token : password;
      wrong.select();
      wrong.focus();
    } finally {
      submit.disabled = false;
    }
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void attempt();
  });
  const { dialog, closed } = modal(t("title"), form);
  (name.value ? password : name).focus();
  const done = (await closed) === "done";
  if (before instanceof HTMLElement) before.focus();
  return done;
}

function grantLine(grant: Grant, catalogue: Catalogue): string {
  const layers = catalogue.sectors.flatMap((sector) => sector.layers);
  const layer = layers.find(({ id }) => id === grant.layer);
  const where = grant.layer === null ? t("everyLayer") : pick(layer?.title) || grant.layer;
  return `${t(grant.role)} · ${agencyTitle(grant.agency, catalogue)} · ${where}${grant.area ? ` · ${t("withinArea")}` : ""}`;
}

/** An agency's name where some layer is its own; else its id. */
function agencyTitle(id: string, catalogue: Catalogue): string {
  const layer = catalogue.sectors.flatMap((sector) => sector.layers).find(({ owner }) => owner === id);
  return pick(layer?.agency) || id;
}

/** Says who is logged in and what he may do; resolves true when he wants to log out. */
export async function showAccount(me: Me, catalogue: Catalogue): Promise<boolean> {
  const logout = h("button", { type: "button", class: "main-button", onclick: () => dialog.close("logout") }, t("logout"));
  const close = h("button", { type: "button", class: "text-button", onclick: () => dialog.close("") }, common("close"));
  const grants = me.grants.map((grant) => h("li", {}, grantLine(grant, catalogue)));
  const { dialog, closed } = modal(
    t("account"),
    h(
      "div",
      {},
      h("h2", {}, me.name),
      me.agency === null ? "" : h("p", {}, `${t("agency")}: ${agencyTitle(me.agency, catalogue)}`),
      me.token ? h("p", { class: "account-why" }, t("tokenUsed", { scopes: me.token.scopes.join(", ") })) : "",
      h("h3", {}, t("rights")),
      grants.length > 0 ? h("ul", { class: "account-grants" }, ...grants) : h("p", {}, t("noRights")),
      h("p", { class: "account-why" }, me.edit.length > 0 ? t("edits", { count: me.edit.length }) : t("editsNone")),
      h("div", { class: "account-buttons" }, logout, close),
    ),
  );
  logout.focus();
  return (await closed) === "logout";
}
