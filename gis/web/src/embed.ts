/**
 * Whether this is the map of other sites' pages (/map/embed): without logins and without tools, so that the
 * page around it can lead nobody to click on anything that changes data.
 */
export const EMBEDDED = window.location.pathname.endsWith("/map/embed");
