/** What GET /catalogue gives: everything the page knows about the city and its layers. */
import type { FilterSpecification } from "maplibre-gl";

export type Language = "vi" | "en";
export type Text = Record<Language, string>;
/** West, south, east, north in WGS 84 degrees. */
export type Box = [number, number, number, number];
export type Value = string | number | boolean | null;

export interface Crs {
  code: number;
  name: string;
  /** Definition with the pinned datum step (+towgs84), as proj4 reads it. */
  proj4: string;
}

export interface City {
  id: string;
  title: Text;
  view: [lon: number, lat: number, zoom: number];
  extent: Box;
  storage_crs: number;
  crs: Crs[];
}

export interface DomainValue {
  value: string | number;
  title: Text;
}

export interface Field {
  name: string;
  title: Text;
  unit: string | null;
  type: "string" | "integer" | "number" | "boolean" | "date" | "datetime";
  domain: DomainValue[] | null;
  /** From this zoom on tiles hold it; null when they never do. */
  from_zoom: number | null;
}

export interface LegendEntry {
  title: Text;
  kind: "line" | "fill" | "point";
  colour: string;
  outline: string | null;
  dash: number[] | null;
  width: number;
  icon: string | null;
  filter: FilterSpecification | null;
}

export interface Layer {
  id: string;
  title: Text;
  description: Text | null;
  /** A picture (aerial photograph, scanned sheets, terrain); others are features. */
  kind?: "raster" | "vector";
  geometry: string;
  dimension: 0 | 1 | 2 | -1;
  owner: string;
  agency: Text;
  access: string;
  count: number;
  tiles: { min_zoom: number; max_zoom: number };
  extent: Box | null;
  fields: Field[];
  label_field: string | null;
  legend: LegendEntry[];
  style_layers: string[];
}

export interface Sector {
  id: string;
  title: Text;
  colour: string;
  /** The ground on which the others are drawn. */
  base: boolean;
  layers: Layer[];
}

export interface Catalogue {
  city: City;
  languages: Language[];
  sectors: Sector[];
}
