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

const PROJ4 = fileURLToPath(new URL("node_modules/proj4/lib/", import.meta.url));
/** Beside longlat and merc, which proj4 always has. config/crs.yml needs no others; tests/unit/test_page_crs.py. */
export const PROJECTIONS = ["tmerc", "etmerc", "utm", "lcc"];

/**
 * proj4 without what no definition of ours asks for: thirty projections, a hundred datums (ours have their ellipsoid and
 * parameters written out), and readers of WKT and of MGRS. A first visit loads 25 KB less.
 */
function smallProj4(): Plugin {
  const imports = PROJECTIONS.map((name) => `import ${name} from ${JSON.stringify(`${PROJ4}projections/${name}.js`)};`);
  const modules: Record<string, string> = {
    "../projs": `${imports.join("")} export default ({ Proj }) => [${PROJECTIONS.join()}].forEach((one) => Proj.projections.add(one));`,
    "wkt-parser": `export default () => { throw new Error("WKT is not read here"); };`,
    "./constants/Datum": `export default { wgs84: { towgs84: "0,0,0", ellipse: "WGS84", datumName: "WGS84" } };`,
    mgrs: `export const forward = null; export const toPoint = null; export default null;`,
  };
  return {
    name: "small-proj4",
    enforce: "pre",
    resolveId(id, importer) {
      return importer?.startsWith(PROJ4) && Object.hasOwn(modules, id) ? `\0proj4:${id}` : null;
    },
    load(id) {
      return id.startsWith("\0proj4:") ? modules[id.slice("\0proj4:".length)] : null;
    },
  };
}

/** MapLibre without the reader of MLT tiles, which this server does not make: 16 KB of a first visit. */
function noMlt(): Plugin {
  return {
    name: "no-mlt",
    enforce: "pre",
    resolveId: (id) => (id === "@maplibre/mlt" ? "\0no-mlt" : null),
    load: (id) =>
      id === "\0no-mlt"
        ? `export const GEOMETRY_TYPE = {}; export function decodeTile() { throw new Error("MLT tiles are not read here"); }`
        : null,
  };
}

/**
 * The page's code, its style sheet and the worker are asked for with the HTML, and not once the small script that
 * starts the page has come and asks for them: a round trip less each.
 */
function preloads(): Plugin {
  return {
    name: "preloads",
    transformIndexHtml: {
      order: "post",
      handler(_html, { bundle }) {
        const chunks = Object.values(bundle ?? {}).filter((one) => one.type === "chunk");
        const page = chunks.find(({ facadeModuleId }) => facadeModuleId?.endsWith("/src/page.ts"));
        const worker = chunks.find(({ name }) => name === "maplibre-worker");
        if (!page || !worker) throw new Error("the page's chunks have other names now");
        const scripts = new Set([page.fileName, worker.fileName, ...page.imports, ...worker.imports]);
        const entry = chunks.find(({ isEntry, name }) => isEntry && name === "index");
        for (const known of [entry?.fileName ?? "", ...(entry?.imports ?? [])]) scripts.delete(known);
        const sheets = [...(page.viteMetadata?.importedCss ?? [])];
        return [
          ...[...scripts].map((name) => ({
            tag: "link",
            attrs: { rel: "modulepreload", crossorigin: true, href: `/map/${name}` },
          })),
          ...sheets.map((name) => ({
            tag: "link",
            attrs: { rel: "preload", as: "style", crossorigin: true, href: `/map/${name}` },
          })),
        ];
      },
    },
  };
}

// The server serves index.html at /map and the assets, whose names hold a hash, at /map/assets/.
export default defineConfig({
  base: "/map/",
  publicDir: false,
  resolve: { alias: [{ find: /^maplibre-gl$/, replacement: `${MAPLIBRE}index.ts` }] },
  plugins: [maplibreFromSource(), smallProj4(), noMlt(), preloads()],
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
