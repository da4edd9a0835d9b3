/**
 * Makes the map's sprites: dist/sprites/bandoso(@2x).(png|json) from icons/*.svg. Each icon keeps its
 * file's name and its size (width and height of the svg element, in pixels).
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { initWasm, Resvg } from "@resvg/resvg-wasm";

/** Pixels between icons, so that smoothing at one's edge never takes in its neighbour. */
const GAP = 2;
const COLUMNS = 10;

interface Icon {
  name: string;
  width: number;
  height: number;
  svg: string;
}

interface Placed extends Icon {
  x: number;
  y: number;
}

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

function readIcon(file: string): Icon {
  const svg = readFileSync(at(`../icons/${file}`), "utf8").trim();
  const size = /^<svg[^>]*\swidth="(\d+)"[^>]*\sheight="(\d+)"/.exec(svg);
  if (!size) throw new Error(`icons/${file}: the svg element needs a width and a height in pixels`);
  return { name: file.replace(/\.svg$/, ""), width: Number(size[1]), height: Number(size[2]), svg };
}

/** Rows of ten, each as high as its highest icon. */
function place(icons: readonly Icon[]): { placed: Placed[]; width: number; height: number } {
  const placed: Placed[] = [];
  let width = 0;
  let y = 0;
  for (let i = 0; i < icons.length; i += COLUMNS) {
    const row = icons.slice(i, i + COLUMNS);
    let x = 0;
    for (const icon of row) {
      placed.push({ ...icon, x, y });
      x += icon.width + GAP;
    }
    width = Math.max(width, x);
    y += Math.max(...row.map((icon) => icon.height)) + GAP;
  }
  return { placed, width, height: y };
}

const icons = readdirSync(at("../icons"))
  .filter((file) => file.endsWith(".svg"))
  .sort()
  .map(readIcon);
const { placed, width, height } = place(icons);
const sheet = [
  `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">`,
  ...placed.map(({ svg, x, y }) => svg.replace("<svg", `<svg x="${x}" y="${y}"`)),
  "</svg>",
].join("");

await initWasm(readFileSync(at("../node_modules/@resvg/resvg-wasm/index_bg.wasm")));
const folder = at("../dist/sprites/");
mkdirSync(folder, { recursive: true });
for (const ratio of [1, 2]) {
  const name = ratio === 1 ? "bandoso" : `bandoso@${ratio}x`;
  const png = new Resvg(sheet, { fitTo: { mode: "zoom", value: ratio } }).render().asPng();
  const index = Object.fromEntries(
    placed.map((icon) => [
      icon.name,
      {
        x: icon.x * ratio,
        y: icon.y * ratio,
        width: icon.width * ratio,
        height: icon.height * ratio,
        pixelRatio: ratio,
      },
    ]),
  );
  writeFileSync(`${folder}${name}.png`, png);
  writeFileSync(`${folder}${name}.json`, JSON.stringify(index));
}
process.stdout.write(`sprites: ${icons.length} icons\n`);
