import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";

const MAPLIBRE = fileURLToPath(new URL("node_modules/maplibre-gl/src/", import.meta.url));

/**
 * Builds MapLibre from the sources in its package instead of its two ready bundles, which hold most of
 * their code twice: page and worker then share one chunk, and a first visit loads 370 KB (gzip), not 490.
 * The worker's address is the default export of `virtual:maplibre-worker`.
 */
function maplibreFromSource(): Plugin {
  let worker = "";
  return {
    name: "maplibre-from-source",
    buildStart() {
      worker = this.emitFile({ type: "chunk", id: `${MAPLIBRE}source/worker.ts`, name: "maplibre-worker" });
    },
    resolveId(id) {
      return id === "virtual:maplibre-worker" ? `\0${id}` : null;
    },
    load(id) {
      return id === "\0virtual:maplibre-worker" ? `export default import.meta.ROLLUP_FILE_URL_${worker}` : null;
    },
  };
}

// The server serves index.html at /map and the assets, whose names hold a hash, at /map/assets/.
export default defineConfig({
  base: "/map/",
  publicDir: false,
  resolve: { alias: [{ find: /^maplibre-gl$/, replacement: `${MAPLIBRE}index.ts` }] },
  plugins: [maplibreFromSource()],
  // MapLibre's sources declare fields that a base class sets (useDefineForClassFields: false): such a
  // declaration must not become a field of its own, which would be undefined again after super().
  oxc: { typescript: { removeClassFieldsWithoutInitializer: true } },
  build: {
    target: "es2022",
    // Nothing is inlined: the page's Content-Security-Policy then needs no data: for scripts and styles.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1000,
  },
});
