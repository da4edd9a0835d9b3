/** Whether somebody left changes in this browser that the server has not acknowledged. */

/** Keys of drafts in localStorage: this, the account, and a name of the draft. */
export const DRAFTS = "bandoso.edit/";

export function hasUnsaved(account: string): boolean {
  try {
    return Object.keys(localStorage).some((key) => key.startsWith(`${DRAFTS}${account}/`));
  } catch {
    return false; // storage is forbidden here: nothing is kept
  }
}
