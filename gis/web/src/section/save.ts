/** A drawing as a file of its own: with what the page's style sheet says of it written into it. */

const PROPERTIES = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "font-size", "font-weight"] as const;

/** Starts the download of an SVG element. */
export function saveDrawing(drawing: SVGElement, name: string): void {
  const copy = drawing.cloneNode(true) as SVGElement;
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("font-family", "Be Vietnam Pro, sans-serif");
  const originals = drawing.querySelectorAll("*");
  copy.querySelectorAll("*").forEach((element, i) => {
    const original = originals[i];
    if (!original) return;
    const computed = getComputedStyle(original);
    for (const property of PROPERTIES) element.setAttribute(property, computed.getPropertyValue(property));
  });
  const text = new XMLSerializer().serializeToString(copy);
  const address = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = `${name}.svg`;
  link.click();
  window.setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
