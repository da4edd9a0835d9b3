// Reads a profile of Chromium (Profiler.stop) from standard input and tells, in percent of the time that the
// page's thread was at work, whose code it was: the page's own, MapLibre's, other packages', the browser's.
// Arguments: the folder with the source maps of the page's chunks.
import { existsSync, readFileSync } from "node:fs";
import { SourceMap } from "node:module";
import { basename, join } from "node:path";

const folder = process.argv[2];
const profile = JSON.parse(readFileSync(0, "utf8"));
const maps = new Map();

function mapOf(url) {
  const name = basename(new URL(url).pathname);
  if (!maps.has(name)) {
    const file = join(folder, `${name}.map`);
    maps.set(name, existsSync(file) ? new SourceMap(JSON.parse(readFileSync(file, "utf8"))) : null);
  }
  return maps.get(name);
}

function whose({ url, functionName, lineNumber, columnNumber }) {
  if (functionName === "(idle)") return "idle";
  if (!url.startsWith("http")) return "browser";
  const found = mapOf(url)?.findEntry(lineNumber, columnNumber)?.originalSource;
  if (!found) return "unknown";
  if (!found.includes("node_modules")) return "page";
  return found.includes("/maplibre-gl/") ? "maplibre" : "packages";
}

const owner = new Map(profile.nodes.map((node) => [node.id, whose(node.callFrame)]));
const time = {};
profile.samples.forEach((sample, index) => {
  const key = owner.get(sample) ?? "unknown";
  time[key] = (time[key] ?? 0) + (profile.timeDeltas[index] ?? 0);
});
const { idle = 0, ...busy } = time;
const all = Object.values(busy).reduce((sum, one) => sum + one, 0);
const percent = Object.fromEntries(Object.entries(busy).map(([key, one]) => [key, Math.round((1000 * one) / all) / 10]));
console.log(JSON.stringify({ busy_ms: Math.round(all / 1000), idle_ms: Math.round(idle / 1000), percent }));
