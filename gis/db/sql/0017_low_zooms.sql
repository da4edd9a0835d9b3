-- Low zooms: rows derived from all features of a cell (tiles.generalise), kept in web.<layer>__low by the server's
-- background process (tiles.refresh). A change marks its cells as stale in its own transaction; a refreshed cell is
-- told by a mark, so that whoever keeps tiles knows which were made before.

-- What is derived of which layer: {"srid", "unit", "levels": [{"level", "columns"}], "types"} (gis.db.low).
CREATE TABLE bandoso.low_layer (
    layer text COLLATE "C" PRIMARY KEY,
    definition jsonb NOT NULL
);

-- Cells whose rows are not what their features say now. Written by whoever changes features, taken away by the
-- refresh that has seen the change; rows are only added by writers, so they never wait for each other.
-- cell null: all of the layer. box: of the changed features, as they were and as they are (storage CRS).
CREATE TABLE bandoso.web_stale (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    layer text COLLATE "C" NOT NULL,
    cell bigint,
    box public.box2d
) WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);

-- What a cell's rows cover (EPSG:3857; null: it has none), and a hash of them.
CREATE TABLE bandoso.low_cell (
    layer text COLLATE "C" NOT NULL,
    cell bigint NOT NULL,
    box public.box2d,
    digest bytea NOT NULL,
    PRIMARY KEY (layer, cell)
);

-- Where derived rows changed: marks in the order in which their transactions commit. boxes: [[minx, miny, maxx, maxy]]
-- in EPSG:3857, as it was and as it is; null: anywhere.
CREATE SEQUENCE bandoso.low_mark AS bigint;
CREATE TABLE bandoso.low_change (
    mark bigint PRIMARY KEY,
    layer text COLLATE "C" NOT NULL,
    boxes jsonb,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- Of marks up to this one it is not known any more what changed.
CREATE TABLE bandoso.low_forgotten (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    upto bigint NOT NULL
);
INSERT INTO bandoso.low_forgotten (upto) VALUES (0);

-- The cell of a feature: a square of 512 units of the storage CRS, by the middle of its box. What is found by the
-- square (&&) has all features of it: a box holds its middle.
CREATE FUNCTION bandoso.low_cell_of(shape public.geometry) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (floor((public.ST_XMin(shape) + public.ST_XMax(shape)) / 1024)::bigint + 33554432) * 67108864
         + (floor((public.ST_YMin(shape) + public.ST_YMax(shape)) / 1024)::bigint + 33554432)
$$;
CREATE FUNCTION bandoso.low_cell_box(cell bigint) RETURNS public.box2d
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT public.ST_MakeEnvelope(x.i * 512, x.j * 512, (x.i + 1) * 512, (x.j + 1) * 512)::public.box2d
    FROM (SELECT cell / 67108864 - 33554432 AS i, cell % 67108864 - 33554432 AS j) AS x
$$;

CREATE FUNCTION bandoso.low_stale_cells() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO bandoso.web_stale (layer) VALUES (TG_TABLE_NAME);
    ELSIF TG_OP = 'INSERT' THEN
        INSERT INTO bandoso.web_stale (layer, cell, box)
        SELECT TG_TABLE_NAME, bandoso.low_cell_of(n.geom), public.ST_Extent(n.geom) FROM new_rows AS n GROUP BY 2;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO bandoso.web_stale (layer, cell, box)
        SELECT TG_TABLE_NAME, bandoso.low_cell_of(o.geom), public.ST_Extent(o.geom) FROM old_rows AS o GROUP BY 2;
    ELSE
        INSERT INTO bandoso.web_stale (layer, cell, box)
        SELECT TG_TABLE_NAME, bandoso.low_cell_of(b.geom), public.ST_Extent(b.geom)
        FROM (SELECT geom FROM old_rows UNION ALL SELECT geom FROM new_rows) AS b GROUP BY 2;
    END IF;
    PERFORM pg_notify('bandoso_stale', '');
    RETURN NULL;
END
$$;

-- From now on changes of a table of schema layer make its cells stale; all of them are so now. Nothing for a layer of
-- which nothing is derived. To be called again for a table that takes the place of another.
CREATE FUNCTION bandoso.low_attach(kept regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text;
BEGIN
    SELECT relname INTO STRICT name FROM pg_class WHERE oid = kept;
    IF NOT EXISTS (SELECT FROM bandoso.low_layer WHERE layer = name) THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE OR REPLACE TRIGGER low_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows
                    FOR EACH STATEMENT EXECUTE FUNCTION bandoso.low_stale_cells()', kept);
    EXECUTE format('CREATE OR REPLACE TRIGGER low_update AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows
                    NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION bandoso.low_stale_cells()', kept);
    EXECUTE format('CREATE OR REPLACE TRIGGER low_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows
                    FOR EACH STATEMENT EXECUTE FUNCTION bandoso.low_stale_cells()', kept);
    EXECUTE format('CREATE OR REPLACE TRIGGER low_truncate AFTER TRUNCATE ON %s
                    FOR EACH STATEMENT EXECUTE FUNCTION bandoso.low_stale_cells()', kept);
    INSERT INTO bandoso.web_stale (layer) VALUES (name);
    PERFORM pg_notify('bandoso_stale', '');
END
$$;

-- Nothing is derived of a layer any more.
CREATE FUNCTION bandoso.low_detach(name text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    found text;
BEGIN
    FOR found IN SELECT tgname FROM pg_trigger
                 WHERE tgrelid = to_regclass(format('layer.%I', name)) AND tgname LIKE 'low\_%' LOOP
        EXECUTE format('DROP TRIGGER %I ON layer.%I', found, name);
    END LOOP;
    EXECUTE format('DROP TABLE IF EXISTS web.%I', name || '__low');
    DELETE FROM bandoso.low_layer WHERE layer = name;
    DELETE FROM bandoso.low_cell WHERE layer = name;
    DELETE FROM bandoso.web_stale WHERE layer = name;
    PERFORM bandoso.low_changed(name, NULL);
END
$$;

-- Tell, as the last thing of a transaction, where derived rows of a layer changed. Marks are given under a lock that
-- is held until the transaction ends: they commit in their order, so the greatest that is seen is the horizon.
CREATE FUNCTION bandoso.low_changed(name text, where_changed jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    given bigint;
    told text;
BEGIN
    PERFORM pg_advisory_xact_lock(1819244401);  -- "lowq"
    given := nextval('bandoso.low_mark');
    INSERT INTO bandoso.low_change (mark, layer, boxes) VALUES (given, name, where_changed);
    told := jsonb_build_object('mark', given, 'layer', name, 'boxes', where_changed)::text;
    IF octet_length(told) > 7500 THEN  -- to be read by bandoso.low_changes
        told := jsonb_build_object('mark', given, 'layer', name)::text;
    END IF;
    PERFORM pg_notify('bandoso_low', told);
    RETURN given;
END
$$;

-- The last mark: whatever is read in the same snapshot has everything up to it.
CREATE FUNCTION bandoso.low_horizon() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT greatest((SELECT coalesce(max(mark), 0) FROM bandoso.low_change),
                    (SELECT upto FROM bandoso.low_forgotten))
$$;

-- Where derived rows changed after a mark, up to another. What was forgotten since changed anywhere: boxes null.
CREATE FUNCTION bandoso.low_changes(since bigint, upto bigint) RETURNS TABLE (mark bigint, layer text, boxes jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT f.upto, l.layer, NULL::jsonb FROM bandoso.low_forgotten AS f, bandoso.low_layer AS l WHERE f.upto > since
    UNION ALL
    SELECT * FROM (SELECT c.mark, c.layer, c.boxes FROM bandoso.low_change AS c
                   WHERE c.mark > since AND c.mark <= low_changes.upto ORDER BY c.mark) AS told
$$;

-- Forget marks but the last ``kept``.
CREATE FUNCTION bandoso.low_forget(kept bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    last bigint := bandoso.low_horizon() - kept;
BEGIN
    UPDATE bandoso.low_forgotten SET upto = last WHERE upto < last;
    DELETE FROM bandoso.low_change WHERE mark <= last;
END
$$;

-- Whether derived rows of these layers that a tile shows may be older than the features. ``stored`` and ``web``: what
-- the tile shows with its buffer, in the storage CRS and in EPSG:3857.
CREATE FUNCTION bandoso.low_stale(layers text[], stored public.box2d, web public.box2d) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM bandoso.web_stale AS s LEFT JOIN bandoso.low_cell AS c ON c.layer = s.layer AND c.cell = s.cell
        WHERE s.layer = ANY (layers)
          AND (s.cell IS NULL OR s.box IS NULL OR s.box OPERATOR(public.&&) stored OR c.box OPERATOR(public.&&) web)
    )
$$;
