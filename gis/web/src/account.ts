/** The button in the head of the page: logs in, or says who is logged in. Dialogs load when they are opened. */
import { h, symbol } from "./dom.ts";
import { onLanguage, t } from "./i18n.ts";
import { ServerError } from "./server.ts";
import type { Session } from "./session.ts";
import type { Status } from "./status.ts";
import type { Catalogue } from "./types.ts";

export function accountButton(session: Session, catalogue: Catalogue, status: Status): HTMLElement {
  const button = h("button", { type: "button", class: "account", onclick: () => void open() }, symbol("user"));
  const open = async (): Promise<void> => {
    try {
      const { showAccount } = await import("./account/dialog.ts");
      if (!session.me) await session.ask();
      else if (await showAccount(session.me, catalogue)) session.logout();
    } catch (error) {
      console.warn(error);
      status.trouble("toolFailed", t("serverDown"), () => void open());
    }
  };
  const label = (): void => {
    const name = session.me?.name;
    const text = name === undefined ? t("logIn") : t("accountOf", { name });
    button.title = text;
    button.setAttribute("aria-label", text);
    button.replaceChildren(symbol("user"), ...(name === undefined ? [] : [h("span", {}, name)]));
  };
  session.setDialog(async () => {
    const { askLogin } = await import("./account/dialog.ts").catch(() => {
      throw new ServerError(t("serverDown"));
    });
    return askLogin(session);
  });
  session.onChange(label);
  onLanguage(label);
  label();
  return button;
}
