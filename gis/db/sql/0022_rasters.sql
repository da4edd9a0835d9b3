-- Raster layers (rasters: of the layer files): what their files are. The pixels are in the data folder.

-- The layers, as gis.db.rasters writes them from the definitions. generation changes with every load.
CREATE TABLE bandoso.raster_layer (
    id text COLLATE "C" PRIMARY KEY,
    kind text NOT NULL,
    access text NOT NULL,
    generation bigint NOT NULL DEFAULT 0,
    changed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE bandoso.raster_file (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    layer text COLLATE "C" NOT NULL REFERENCES bandoso.raster_layer,
    -- Within the layer's folder.
    name text COLLATE "C" NOT NULL CHECK (name ~ '^[0-9a-f]{16}(-[0-9a-z]+)?\.tif$'),
    -- SHA-256 of what was delivered and of how it was read: the same file is not taken twice.
    content bytea NOT NULL CHECK (length(content) = 32),
    -- Where it has pixels, in the storage CRS: within 1 pixel, never smaller.
    footprint public.geometry NOT NULL CHECK (public.ST_GeometryType(footprint) IN ('ST_Polygon', 'ST_MultiPolygon')),
    sheet text,
    -- Of a pixel, in metres.
    resolution_m double precision NOT NULL CHECK (resolution_m > 0),
    -- When it was taken or surveyed, as far as it is known.
    taken_on date,
    source text NOT NULL,
    width integer NOT NULL,
    height integer NOT NULL,
    bands integer NOT NULL,
    -- Lowest and highest value of an elevation model.
    lowest double precision,
    highest double precision,
    bytes bigint NOT NULL,
    loaded_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (layer, content),
    UNIQUE (layer, name)
);
CREATE INDEX raster_file_footprint ON bandoso.raster_file USING gist (footprint);

-- Anyone sees the files of public layers, a member those of the layers that are his to see.
CREATE FUNCTION bandoso.raster_seen(layer_id text, layer_access text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT layer_access = 'public' OR cardinality(bandoso.owners_seen(layer_id)) > 0
$$;
ALTER TABLE bandoso.raster_layer ENABLE ROW LEVEL SECURITY;
ALTER TABLE bandoso.raster_file ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON bandoso.raster_layer FOR SELECT USING (bandoso.raster_seen(id, access));
CREATE POLICY seen ON bandoso.raster_file FOR SELECT
    USING (layer IN (SELECT l.id FROM bandoso.raster_layer AS l));
