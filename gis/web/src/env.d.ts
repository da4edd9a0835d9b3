/** The address of MapLibre's worker; see vite.config.ts. */
declare module "virtual:maplibre-worker" {
  const url: string;
  export default url;
}
