-- Low zooms (0017): an edit that leaves what they are derived of as it was makes no cell stale and wakes nobody. The
-- address of a parcel, the street of a pipe: their cells were derived again to the very same rows, which took the
-- server more time than the edit itself.

CREATE OR REPLACE FUNCTION bandoso.low_stale_cells() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO bandoso.web_stale (layer) VALUES (TG_TABLE_NAME);
    ELSIF TG_OP = 'INSERT' THEN
        INSERT INTO bandoso.web_stale (layer, cell, box)
        SELECT TG_TABLE_NAME, bandoso.low_cell_of(n.geom), public.ST_Extent(n.geom) FROM new_rows AS n GROUP BY 2;
    ELSE
        INSERT INTO bandoso.web_stale (layer, cell, box)
        SELECT TG_TABLE_NAME, bandoso.low_cell_of(o.geom), public.ST_Extent(o.geom) FROM old_rows AS o GROUP BY 2;
    END IF;
    PERFORM pg_notify('bandoso_stale', '');
    RETURN NULL;
END
$$;

-- The triggers of a table of schema layer, by the definition of what is derived of it. Updates call
-- bandoso.stale_<layer>, which knows the fields that are needed. Nothing is stale by this alone.
CREATE FUNCTION bandoso.low_triggers(kept regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name text;
    marker text;
    now_is text;
    was text;
BEGIN
    SELECT relname INTO STRICT name FROM pg_class WHERE oid = kept;
    marker := format('bandoso.%I', 'stale_' || name);
    SELECT string_agg(format('n.%I', a.attname), ', ' ORDER BY a.attnum),
           string_agg(format('o.%I', a.attname), ', ' ORDER BY a.attnum)
    INTO STRICT now_is, was
    FROM pg_attribute AS a
    WHERE a.attrelid = kept AND a.attnum > 0 AND NOT a.attisdropped
      AND (a.attname = 'geom'
           OR (SELECT l.definition -> 'needs' FROM bandoso.low_layer AS l WHERE l.layer = name) ? a.attname);
    -- *= compares bytes: of geometries, too, where = of a type outside pg_catalog would have to be found first.
    -- A full join, since it cannot be planned as a loop in a loop: the plan is kept from a session's first update,
    -- of one row perhaps, and the next may be of a million.
    EXECUTE format($function$
        CREATE OR REPLACE FUNCTION %1$s() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
        BEGIN
            INSERT INTO bandoso.web_stale (layer, cell, box)
            SELECT %2$L, bandoso.low_cell_of(b.geom), public.ST_Extent(b.geom)
            FROM old_rows AS o FULL JOIN new_rows AS n ON n.fid = o.fid,
                 LATERAL (VALUES (o.geom), (n.geom)) AS b (geom)
            WHERE NOT ROW(%3$s)::record OPERATOR(pg_catalog.*=) ROW(%4$s)::record AND b.geom IS NOT NULL
            GROUP BY 2;
            IF FOUND THEN
                PERFORM pg_notify('bandoso_stale', '');
            END IF;
            RETURN NULL;
        END
        $body$
    $function$, marker, name, was, now_is);
    EXECUTE format('REVOKE ALL ON FUNCTION %s() FROM PUBLIC', marker);
    EXECUTE format('CREATE OR REPLACE TRIGGER low_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows
                    FOR EACH STATEMENT EXECUTE FUNCTION bandoso.low_stale_cells()', kept);
    EXECUTE format('CREATE OR REPLACE TRIGGER low_update AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows
                    NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION %s()', kept, marker);
    EXECUTE format('CREATE OR REPLACE TRIGGER low_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows
                    FOR EACH STATEMENT EXECUTE FUNCTION bandoso.low_stale_cells()', kept);
    EXECUTE format('CREATE OR REPLACE TRIGGER low_truncate AFTER TRUNCATE ON %s
                    FOR EACH STATEMENT EXECUTE FUNCTION bandoso.low_stale_cells()', kept);
END
$$;

CREATE OR REPLACE FUNCTION bandoso.low_attach(kept regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name text;
BEGIN
    SELECT relname INTO STRICT name FROM pg_class WHERE oid = kept;
    IF NOT EXISTS (SELECT FROM bandoso.low_layer WHERE layer = name) THEN
        RETURN;
    END IF;
    PERFORM bandoso.low_triggers(kept);
    INSERT INTO bandoso.web_stale (layer) VALUES (name);
    PERFORM pg_notify('bandoso_stale', '');
END
$$;

CREATE OR REPLACE FUNCTION bandoso.low_detach(name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found text;
BEGIN
    FOR found IN SELECT tgname FROM pg_trigger
                 WHERE tgrelid = to_regclass(format('layer.%I', name)) AND tgname LIKE 'low\_%' LOOP
        EXECUTE format('DROP TRIGGER %I ON layer.%I', found, name);
    END LOOP;
    EXECUTE format('DROP FUNCTION IF EXISTS bandoso.%I()', 'stale_' || name);
    EXECUTE format('DROP TABLE IF EXISTS web.%I', name || '__low');
    DELETE FROM bandoso.low_layer WHERE layer = name;
    DELETE FROM bandoso.low_cell WHERE layer = name;
    DELETE FROM bandoso.web_stale WHERE layer = name;
    PERFORM bandoso.low_changed(name, NULL);
END
$$;

-- Cities that stand: what is derived is as it was.
SELECT bandoso.low_triggers(t.tgrelid::regclass)
FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid JOIN bandoso.low_layer AS l ON l.layer = c.relname
WHERE t.tgname = 'low_insert' AND c.relnamespace = 'layer'::regnamespace;
