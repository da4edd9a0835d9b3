-- What maps and pages ask for, worked out once: for each public layer a table web.<layer> with the geometry in
-- EPSG:3857 and the feature's GeoJSON text. gis.db.web makes these tables, and two functions beside each:
-- web.<layer>__keep (trigger of the layer's table, whoever writes) and web.<layer>__fill(first, last).

CREATE SCHEMA web;

-- Features that may have no row in their web table yet: of a load, or of any statement of very many rows. Readers
-- take these from the layer's table; who fills a gap takes it away in the same transaction. Gaps may overlap.
--
-- A row here is also the lock between who fills (FOR UPDATE) and who writes features within (FOR SHARE): without it,
-- what is deleted while its row is being filled would stay for ever. A writer whose snapshot is older than the
-- filling gets a serialization failure, which is right.
CREATE TABLE bandoso.web_gap (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    layer text COLLATE "C" NOT NULL,
    first_fid bigint NOT NULL,
    last_fid bigint NOT NULL,
    CHECK (first_fid <= last_fid)
);
CREATE INDEX web_gap_layer ON bandoso.web_gap (layer, first_fid);

-- Notes a gap, and tells who fills (channel bandoso_web).
CREATE FUNCTION bandoso.web_gap_add(of_layer text, first bigint, last bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF first IS NOT NULL THEN
        INSERT INTO bandoso.web_gap (layer, first_fid, last_fid) VALUES (of_layer, first, last);
        PERFORM pg_notify('bandoso_web', of_layer);
    END IF;
END
$$;

-- Waits for who is filling a gap in which these fids lie, and keeps others from it until this transaction ends.
CREATE FUNCTION bandoso.web_gap_hold(of_layer text, first bigint, last bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    held bigint[] := '{}';
BEGIN
    -- Again while there are some that are not held: what was waited for may have been divided meanwhile.
    WHILE EXISTS (SELECT FROM bandoso.web_gap AS g WHERE g.layer = of_layer AND g.first_fid <= last
                  AND g.last_fid >= first AND g.id <> ALL (held))
    LOOP
        SELECT coalesce(array_agg(l.id), '{}') INTO held FROM (
            SELECT g.id FROM bandoso.web_gap AS g
            WHERE g.layer = of_layer AND g.first_fid <= last AND g.last_fid >= first FOR SHARE) AS l;
    END LOOP;
END
$$;

-- Empties a layer's web table; all that its table holds is a gap then. The caller has the layer's table to itself
-- against writers.
CREATE FUNCTION bandoso.web_restart(of_layer text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    first bigint;
    last bigint;
BEGIN
    EXECUTE format('TRUNCATE web.%I', of_layer);
    DELETE FROM bandoso.web_gap WHERE layer = of_layer;
    EXECUTE format('SELECT min(fid), max(fid) FROM layer.%I', of_layer) INTO first, last;
    PERFORM bandoso.web_gap_add(of_layer, first, last);
END
$$;

-- Has the layer's table keep its web table from now on. Idempotent.
CREATE FUNCTION bandoso.web_attach(of_layer text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    kept constant text := format('layer.%I', of_layer);
    keeper constant text := format('web.%I', of_layer || '__keep');
BEGIN
    EXECUTE format('CREATE OR REPLACE TRIGGER web_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows
                    FOR EACH STATEMENT EXECUTE FUNCTION %s()', kept, keeper);
    EXECUTE format('CREATE OR REPLACE TRIGGER web_update AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows
                    NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION %s()', kept, keeper);
    EXECUTE format('CREATE OR REPLACE TRIGGER web_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows
                    FOR EACH STATEMENT EXECUTE FUNCTION %s()', kept, keeper);
    EXECUTE format('CREATE OR REPLACE TRIGGER web_truncate AFTER TRUNCATE ON %s
                    FOR EACH STATEMENT EXECUTE FUNCTION %s()', kept, keeper);
END
$$;

-- Takes a layer's web table away, with all that belongs to it.
CREATE FUNCTION bandoso.web_drop(of_layer text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('DROP FUNCTION IF EXISTS web.%I() CASCADE', of_layer || '__keep');
    EXECUTE format('DROP FUNCTION IF EXISTS web.%I(bigint, bigint)', of_layer || '__fill');
    EXECUTE format('DROP TABLE IF EXISTS web.%I', of_layer);
    DELETE FROM bandoso.web_gap WHERE layer = of_layer;
END
$$;

-- Another table was put in the place of the layer's: it has no triggers yet, and its rows no web rows.
CREATE FUNCTION bandoso.web_swapped(of_layer text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF to_regclass(format('web.%I', of_layer)) IS NOT NULL THEN
        PERFORM bandoso.web_attach(of_layer);
        PERFORM bandoso.web_restart(of_layer);
    END IF;
END
$$;

-- Divides the layer's gaps of more than ``most`` features, so that several can fill at once; gives how many features
-- its gaps hold. To be called in a transaction of its own, as web_fill: it is short, but writers wait for it.
--
-- Both lock the layer's table before a gap, as writers and those who change tables do, so that none waits in a circle.
CREATE FUNCTION bandoso.web_divide(of_layer text, most integer DEFAULT 5000) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    gap bandoso.web_gap;
    held bigint;
    total bigint := 0;
BEGIN
    EXECUTE format('LOCK TABLE layer.%I IN ACCESS SHARE MODE', of_layer);
    FOR gap IN SELECT * FROM bandoso.web_gap WHERE layer = of_layer ORDER BY id
    LOOP
        EXECUTE format('SELECT count(*) FROM layer.%I WHERE fid BETWEEN $1 AND $2', of_layer)
        INTO held USING gap.first_fid, gap.last_fid;
        total := total + held;
        CONTINUE WHEN held <= most;
        PERFORM FROM bandoso.web_gap WHERE id = gap.id FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        -- From the first to the last of the gap, with nothing left out between two parts: what is written into it
        -- meanwhile lies in one of them.
        EXECUTE format(
            'WITH part AS (SELECT min(fid) AS first, lead(min(fid)) OVER (ORDER BY min(fid)) AS next FROM
             (SELECT fid, (row_number() OVER (ORDER BY fid) - 1) / $4 AS n FROM layer.%I WHERE fid BETWEEN $1 AND $2)
             AS numbered GROUP BY n)
             INSERT INTO bandoso.web_gap (layer, first_fid, last_fid)
             SELECT $3, CASE WHEN row_number() OVER (ORDER BY first) = 1 THEN $1 ELSE first END,
                    coalesce(next - 1, $2) FROM part', of_layer)
        USING gap.first_fid, gap.last_fid, of_layer, most;
        DELETE FROM bandoso.web_gap WHERE id = gap.id;
    END LOOP;
    RETURN total;
END
$$;

-- Fills one gap of the layer that nobody holds: gives the number of features; null when there is none.
CREATE FUNCTION bandoso.web_fill(of_layer text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    gap bandoso.web_gap;
    done bigint;
BEGIN
    EXECUTE format('LOCK TABLE layer.%I IN ACCESS SHARE MODE', of_layer);
    SELECT * INTO gap FROM bandoso.web_gap WHERE layer = of_layer ORDER BY first_fid LIMIT 1
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    EXECUTE format('SELECT web.%I($1, $2)', of_layer || '__fill') INTO done USING gap.first_fid, gap.last_fid;
    DELETE FROM bandoso.web_gap WHERE id = gap.id;
    RETURN done;
END
$$;
