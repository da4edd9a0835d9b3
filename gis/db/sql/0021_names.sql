-- What people call things by: the distinct names of streets, places and wards, and the streets of addresses, so that
-- /search forgives typing errors without looking at each feature. gis.db.names says of which layers and fields.
--
-- A name is here as long as, and perhaps a while after, a feature has it: who finds a name looks the features up.

CREATE TABLE bandoso.name (
    layer text COLLATE "C" NOT NULL,
    -- name; former: what a ward was made of; street: of an address.
    kind text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    folded text COLLATE "C" NOT NULL,
    PRIMARY KEY (layer, kind, name)
);
CREATE INDEX name_words ON bandoso.name USING gin (bandoso.search_vector(folded));
CREATE INDEX name_like ON bandoso.name USING gin (folded public.gin_trgm_ops);

-- Fields of the layers whose names are kept; and the layers of which all are to be read again (after loads).
CREATE TABLE bandoso.name_source (
    layer text COLLATE "C" PRIMARY KEY,
    names text[] NOT NULL,
    former text[] NOT NULL,
    streets text[] NOT NULL,
    addresses text[] NOT NULL
);
CREATE TABLE bandoso.name_due (layer text COLLATE "C" PRIMARY KEY);

-- SELECT of kind and name from rows of a layer: rows_in is the name of a relation.
CREATE FUNCTION bandoso.names_query(of_layer text, rows_in text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT string_agg(part, ' UNION ALL ') FROM bandoso.name_source AS s, LATERAL (
        SELECT format('SELECT ''name'' AS kind, r.%I AS name FROM %s AS r', f, rows_in) AS part FROM unnest(s.names) AS f
        UNION ALL
        SELECT format('SELECT ''former'', btrim(x) FROM %s AS r, regexp_split_to_table(r.%I, ''[,;]'') AS x', rows_in, f)
        FROM unnest(s.former) AS f
        UNION ALL
        SELECT format('SELECT ''street'', r.%I FROM %s AS r', f, rows_in) FROM unnest(s.streets) AS f
        UNION ALL
        -- "12/3 Nguyễn Huệ, Phường Sài Gòn": what is between the number and the first comma. No regular expression:
        -- there may be millions.
        SELECT format('SELECT ''street'', btrim(substr(split_part(r.%1$I, '','', 1), strpos(r.%1$I, '' ''))) FROM %2$s
                       AS r WHERE r.%1$I COLLATE "C" BETWEEN ''0'' AND '':'' AND strpos(r.%1$I, '' '') > 0', f, rows_in)
        FROM unnest(s.addresses) AS f
    ) AS parts WHERE s.layer = of_layer
$$;

-- The statement that adds the names of the rows in a table ($1: the layer); null for a layer without names. It is
-- for the caller to execute: the rows of a trigger are seen by the trigger's own function alone.
CREATE FUNCTION bandoso.names_adding(of_layer text, rows_in text) RETURNS text
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    -- in one order, so that those who add the same names wait for each other and not in a circle
    SELECT format('INSERT INTO bandoso.name (layer, kind, name, folded)
        SELECT $1, kind, name, bandoso.search_text(name) FROM (SELECT DISTINCT kind, name FROM (%s) AS every (kind, name)
            WHERE name <> '''' AND length(name) <= 200) AS one
        WHERE NOT EXISTS (SELECT FROM bandoso.name AS n WHERE n.layer = $1 AND n.kind = one.kind AND n.name = one.name)
        ORDER BY kind, name COLLATE "C" ON CONFLICT DO NOTHING', query)
    FROM bandoso.names_query(of_layer, rows_in) AS query WHERE query IS NOT NULL
$$;

-- All of the layer's names are to be read again, after this transaction.
CREATE FUNCTION bandoso.names_outdated(of_layer text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO bandoso.name_due (layer) VALUES (of_layer) ON CONFLICT DO NOTHING;
    PERFORM pg_notify('bandoso_web', of_layer);
END
$$;

-- Trigger of a layer's table, whoever writes.
CREATE FUNCTION bandoso.names_keep() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    adding text;
BEGIN
    -- Who reads all names anew waits for those who write: a name could be forgotten in between.
    PERFORM pg_advisory_xact_lock_shared(hashtext('bandoso.names'), hashtext(TG_TABLE_NAME));
    -- A load is not held up: its names are read when it is over.
    IF (SELECT count(*) FROM (SELECT FROM new_rows LIMIT 2001) AS counted) > 2000 THEN
        PERFORM bandoso.names_outdated(TG_TABLE_NAME);
    ELSE
        adding := bandoso.names_adding(TG_TABLE_NAME, 'new_rows');
        IF adding IS NOT NULL THEN
            EXECUTE adding USING TG_TABLE_NAME::text;
        END IF;
    END IF;
    RETURN NULL;
END
$$;

-- Has the layer's table keep its names from now on. Idempotent; nothing for a layer that has none.
CREATE FUNCTION bandoso.names_attach(of_layer text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    kept constant text := format('layer.%I', of_layer);
BEGIN
    IF EXISTS (SELECT FROM bandoso.name_source WHERE layer = of_layer) THEN
        EXECUTE format('CREATE OR REPLACE TRIGGER names_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows
                        FOR EACH STATEMENT EXECUTE FUNCTION bandoso.names_keep()', kept);
        EXECUTE format('CREATE OR REPLACE TRIGGER names_update AFTER UPDATE ON %s REFERENCING NEW TABLE AS new_rows
                        FOR EACH STATEMENT EXECUTE FUNCTION bandoso.names_keep()', kept);
        PERFORM bandoso.names_outdated(of_layer);
    END IF;
END
$$;

CREATE FUNCTION bandoso.names_detach(of_layer text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF to_regclass(format('layer.%I', of_layer)) IS NOT NULL THEN
        EXECUTE format('DROP TRIGGER IF EXISTS names_insert ON layer.%I', of_layer);
        EXECUTE format('DROP TRIGGER IF EXISTS names_update ON layer.%I', of_layer);
    END IF;
    DELETE FROM bandoso.name_source WHERE layer = of_layer;
    DELETE FROM bandoso.name_due WHERE layer = of_layer;
    DELETE FROM bandoso.name WHERE layer = of_layer;
END
$$;

-- Reads the names of one layer that is due: gives its id, null when none is. In a transaction of its own.
CREATE FUNCTION bandoso.names_fill() RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    of_layer text;
    kept text;
    query text;
BEGIN
    SELECT layer INTO of_layer FROM bandoso.name_due ORDER BY layer LIMIT 1;
    IF of_layer IS NULL THEN
        RETURN NULL;
    END IF;
    kept := format('layer.%I', of_layer);
    -- The table before all else, as writers and those who change tables do, so that none waits in a circle; then
    -- after all who are writing, before those who begin (names_keep).
    IF to_regclass(kept) IS NOT NULL THEN
        EXECUTE format('LOCK TABLE %s IN ACCESS SHARE MODE', kept);
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('bandoso.names'), hashtext(of_layer));
    DELETE FROM bandoso.name_due WHERE layer = of_layer;
    IF to_regclass(kept) IS NULL THEN
        RETURN of_layer;
    END IF;
    query := bandoso.names_query(of_layer, kept);
    IF query IS NOT NULL THEN
        EXECUTE format('WITH found AS MATERIALIZED (SELECT DISTINCT kind, name FROM (%s) AS every (kind, name)
                WHERE name <> '''' AND length(name) <= 200),
            gone AS (DELETE FROM bandoso.name AS n WHERE n.layer = $1
                AND NOT EXISTS (SELECT FROM found AS f WHERE f.kind = n.kind AND f.name = n.name))
            INSERT INTO bandoso.name (layer, kind, name, folded)
            SELECT $1, kind, name, bandoso.search_text(name) FROM found ON CONFLICT DO NOTHING', query) USING of_layer;
    END IF;
    RETURN of_layer;
END
$$;

-- Names of these layers that are written like ``wanted`` (folded), the most alike first.
CREATE FUNCTION bandoso.names_like(wanted text, of_layers text[], most integer)
RETURNS TABLE (layer text, kind text, name text, folded text, alike real)
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp
SET pg_trgm.word_similarity_threshold = 0.42 AS $$
    SELECT n.layer, n.kind, n.name, n.folded, word_similarity(wanted, n.folded) AS alike FROM bandoso.name AS n
    WHERE n.folded %> wanted AND n.layer = ANY (of_layers)
    ORDER BY alike DESC, length(n.folded), n.name LIMIT most
$$;

-- How many findings stand about features ("layer/fid"), of those that anyone may see.
CREATE FUNCTION bandoso.findings_about(wanted text[]) RETURNS TABLE (about text, findings bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT a.about, count(*) FROM bandoso.finding_key AS k
        JOIN layer.finding AS f ON f.asset_id = k.id, unnest(k.about) AS a (about)
        WHERE k.about && wanted AND a.about = ANY (wanted) AND NOT k.restricted AND f.state <> 'mended'
        GROUP BY a.about;
END
$$;

-- Those findings themselves, the gravest first.
CREATE FUNCTION bandoso.findings_of(wanted text[], most integer)
RETURNS TABLE (fid bigint, about text[], rule text, severity text, state text, value double precision,
               limit_value double precision, unit text, message_vi text, message_en text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT f.fid, k.about, f.rule, f.severity, f.state, f.value, f.limit_value, f.unit, f.message_vi,
        f.message_en
        FROM bandoso.finding_key AS k JOIN layer.finding AS f ON f.asset_id = k.id
        WHERE k.about && wanted AND NOT k.restricted AND f.state <> 'mended'
        ORDER BY f.severity, f.fid LIMIT most;
END
$$;
