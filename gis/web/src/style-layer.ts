/** What the server's style says of its layers. */
import type { LayerSpecification } from "maplibre-gl";

/** The layer of the catalogue that a style layer draws, from its metadata. */
export function layerOf(style: LayerSpecification): string | null {
  const metadata = style.metadata as Record<string, unknown> | undefined;
  const id = metadata?.["bandoso:layer"];
  return typeof id === "string" ? id : null;
}
