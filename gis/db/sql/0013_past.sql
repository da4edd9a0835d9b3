-- What was, for those who ask: views of former versions (gis.db.past makes one for each layer), and functions that
-- tell who changed what. bandoso.version, change and changeset themselves are granted to nobody.

CREATE SCHEMA past;

-- Values of a former version in the type that their field has now; null where they do not fit.
CREATE FUNCTION bandoso.kept_integer(kept text) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN CASE WHEN kept::numeric = trunc(kept::numeric) THEN kept::numeric::bigint END;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$$;
CREATE FUNCTION bandoso.kept_number(kept text) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    value double precision;
BEGIN
    value := kept;
    RETURN CASE WHEN value - value = 0 THEN value END; -- neither NaN nor infinite
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$$;
CREATE FUNCTION bandoso.kept_date(kept text) RETURNS date
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, YMD' AS $$
BEGIN
    RETURN CASE WHEN kept ~ '^[0-9]{4,6}-[0-9]{2}-[0-9]{2}' THEN kept::date END;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$$;
CREATE FUNCTION bandoso.kept_datetime(kept text) RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, YMD' SET timezone = 'UTC' AS $$
BEGIN
    RETURN CASE WHEN kept ~ '^[0-9]{4,6}-[0-9]{2}-[0-9]{2}' THEN kept::timestamptz END;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$$;

-- Whether the caller may know of a feature of this owner in this layer.
CREATE FUNCTION bandoso.sees(layer_id text, feature_owner text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(has_any_column_privilege(
               'bandoso_reader', to_regclass(format('layer.%I', layer_id))::oid, 'SELECT'), false)
           OR feature_owner = ANY (bandoso.owners_seen(layer_id))
$$;

-- Of each version of a feature that the caller may know of: the changesets that made it and that ended it.
-- made_op: c made (or made again), u changed; made_by is null where it was made before changesets were kept.
-- ended_by is null for the version that stands. is_first: there was no other before; goes_on: the next one began as it
-- ended.
CREATE FUNCTION bandoso.version_events(layer_id text, feature bigint)
RETURNS TABLE (
    version integer, made_by bigint, made_op text, ended_by bigint, is_first boolean, goes_on boolean
)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF to_regclass(format('layer.%I', layer_id)) IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format($query$
        WITH known AS (
            SELECT v.version, v.owner, v.ended_by, (v.properties ->> 'load_id')::bigint AS load_id,
                   v.valid_from AS began, v.valid_to AS ended
            FROM bandoso.version AS v WHERE v.layer = $1 AND v.fid = $2
            UNION ALL
            SELECT t.version::integer, t.owner, NULL, t.load_id, t.updated_at, NULL FROM layer.%1$I AS t WHERE t.fid = $2
        ), seen AS (
            SELECT k.*, bandoso.sees($1, k.owner) AS is_seen FROM known AS k
        )
        SELECT k.version, coalesce(c.changeset, l.changeset),
               coalesce(c.op::text, CASE WHEN l.changeset IS NOT NULL THEN 'c' END), k.ended_by,
               NOT EXISTS (SELECT FROM seen AS e WHERE e.version < k.version AND e.is_seen),
               EXISTS (SELECT FROM seen AS e WHERE e.version > k.version AND e.began = k.ended AND e.is_seen)
        FROM seen AS k
        LEFT JOIN LATERAL (
            SELECT x.changeset, x.op FROM bandoso.change AS x
            WHERE x.layer = $1 AND x.fid = $2 AND x.new_version = k.version
            ORDER BY x.changeset LIMIT 1) AS c ON true
        -- what a load added has no row of its own: its first version names the load
        LEFT JOIN bandoso.load AS l ON c.changeset IS NULL AND l.id = k.load_id
            AND NOT EXISTS (SELECT FROM known AS e WHERE e.version < k.version)
        WHERE k.is_seen
    $query$, layer_id) USING layer_id, feature;
END
$$;

-- Who made changesets (told to members alone: names of accounts are half of a login), when and why.
CREATE FUNCTION bandoso.changesets_told(ids bigint[])
RETURNS TABLE (id bigint, at timestamptz, agency text, kind text, author text, comment text, source text, undoes bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.id, c.at, c.agency, c.kind, CASE WHEN (SELECT bandoso.acting()) IS NOT NULL THEN c.author END AS author,
           c.comment, c.source, c.undoes
    FROM bandoso.changeset AS c WHERE c.id = ANY (ids)
$$;

-- Since when a layer's history is whole; null: since its first feature.
CREATE FUNCTION bandoso.history_begins(layer_id text) RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT since FROM bandoso.history_since WHERE layer = layer_id
$$;

-- Features of a layer that changesets between two times touched; null where that does not tell (a load added some).
-- A row's time may be later than its changeset's by as long as that was open.
CREATE FUNCTION bandoso.touched(layer_id text, after timestamptz, upto timestamptz, most integer) RETURNS bigint[]
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    fids bigint[];
BEGIN
    IF EXISTS (
        SELECT FROM bandoso.load AS l
        WHERE l.layer = layer_id AND (l.finished_at IS NULL OR l.finished_at > after - interval '1 day')
          AND l.started_at <= upto AND coalesce(l.rows, 1) > 0
    ) THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(DISTINCT f.fid) INTO fids FROM (
        SELECT x.fid FROM bandoso.changeset AS c JOIN bandoso.change AS x ON x.changeset = c.id AND x.layer = layer_id
        WHERE c.at > after - interval '1 day' AND c.at <= upto LIMIT most + 1) AS f;
    RETURN CASE WHEN cardinality(fids) > most THEN NULL ELSE coalesce(fids, '{}') END;
END
$$;

-- What has to be done to undo a changeset, and what stands in its way. One row for each feature that it touched.
-- ``stands``: the version that is there. ``seen``: whether the acting account may know of it; ``allowed``: whether it
-- may write it as it is and as it would be, else nothing of it is told. ``later``: changesets that changed it since.
-- ``gone``: what it was is not kept any more. ``attributes``: those that differ from what stands, with the owner;
-- ``geom`` is null where it is the same. At most ``most`` of a layer.
CREATE FUNCTION bandoso.undo_plan(undone bigint, most integer) RETURNS TABLE (
    layer text, fid bigint, op text, old_version integer, new_version integer, stands integer, seen boolean,
    allowed boolean, gone boolean, later bigint[], attributes jsonb, geom public.geometry
)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1 AS $$
DECLARE
    of_layer text;
    operator boolean := session_user = current_user AND nullif(current_setting('bandoso.account', true), '') IS NULL;
    loaded boolean := EXISTS (SELECT FROM bandoso.load AS l WHERE l.changeset = undone);
BEGIN
    FOR of_layer IN
        SELECT x.layer FROM bandoso.change AS x WHERE x.changeset = undone GROUP BY x.layer
        UNION
        SELECT l.layer FROM bandoso.load AS l WHERE l.changeset = undone
        ORDER BY 1
    LOOP
        CONTINUE WHEN to_regclass(format('layer.%I', of_layer)) IS NULL;
        RETURN QUERY EXECUTE format($query$
            WITH everyone AS MATERIALIZED (SELECT bandoso.sees($2, '') AS sees),
            touched AS (
                SELECT c.fid, c.op, c.old_version, c.new_version, c.owner FROM bandoso.change AS c
                WHERE c.changeset = $1 AND c.layer = $2
                UNION ALL
                -- what a load added
                SELECT n.fid, 'c', NULL, 1, NULL FROM (
                    SELECT m.fid FROM layer.%1$I AS m JOIN bandoso.load AS l ON l.id = m.load_id
                    WHERE $5 AND l.changeset = $1
                    UNION
                    SELECT w.fid FROM bandoso.version AS w
                    JOIN bandoso.load AS l ON l.id::text = w.properties ->> 'load_id'
                    WHERE $5 AND l.changeset = $1 AND w.layer = $2
                ) AS n
                WHERE NOT EXISTS (
                    SELECT FROM bandoso.change AS c WHERE c.changeset = $1 AND c.layer = $2 AND c.fid = n.fid)
                ORDER BY fid LIMIT $3
            )
            SELECT $2, x.fid, x.op::text, x.old_version, x.new_version, t.version::integer, $4 OR a.seen, a.allowed,
                   x.old_version IS NOT NULL AND v.fid IS NULL,
                   ARRAY(SELECT y.changeset FROM bandoso.change AS y
                         WHERE y.layer = $2 AND y.fid = x.fid AND y.changeset > $1 ORDER BY 1 LIMIT 20),
                   CASE WHEN a.allowed THEN d.attributes END,
                   CASE WHEN a.allowed AND (t.fid IS NULL OR public.ST_AsEWKB(t.geom) <> public.ST_AsEWKB(v.geom))
                        THEN v.geom END
            FROM touched AS x
            CROSS JOIN everyone AS e
            LEFT JOIN layer.%1$I AS t ON t.fid = x.fid
            LEFT JOIN bandoso.version AS v ON v.layer = $2 AND v.fid = x.fid AND v.version = x.old_version
            CROSS JOIN LATERAL (
                SELECT e.sees OR bandoso.sees($2, coalesce(t.owner, v.owner, x.owner)) AS seen,
                       $4 OR (t.fid IS NULL OR bandoso.may_write($2, t.owner, t.geom))
                             AND (v.fid IS NULL OR bandoso.may_write($2, v.owner, v.geom))
                             AND (t.fid IS NOT NULL OR v.fid IS NOT NULL
                                  OR bandoso.may_write($2, x.owner, NULL)) AS allowed
            ) AS a
            CROSS JOIN LATERAL (
                SELECT jsonb_object_agg(p.key, p.value) AS attributes
                FROM jsonb_each(v.properties || jsonb_build_object('owner', v.owner)) AS p
                WHERE t.fid IS NULL OR to_jsonb(t) -> p.key IS DISTINCT FROM p.value
            ) AS d
            ORDER BY x.fid
        $query$, of_layer) USING undone, of_layer, most, operator, loaded;
    END LOOP;
END
$$;

-- Whether what a changeset made of a feature is gone or was changed again before that time: who made what stands now
-- is never forgotten.
CREATE FUNCTION bandoso.is_superseded(what bandoso.change, before timestamptz) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT what.op = 'd' OR EXISTS (
        SELECT FROM bandoso.change AS y JOIN bandoso.changeset AS d ON d.id = y.changeset
        WHERE y.layer = what.layer AND y.fid = what.fid AND y.changeset > what.changeset AND d.at < before)
$$;

-- Forget versions that ended before a time (of one layer, or of all), and which features changesets of before touched.
-- The changesets themselves stay. Gives what went, by layer.
CREATE FUNCTION bandoso.purge_history(before timestamptz, only_layer text, really boolean)
RETURNS TABLE (layer text, versions bigint, changes bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    CREATE TEMP TABLE purged ON COMMIT DROP AS
    SELECT coalesce(a.layer, b.layer) AS layer, coalesce(a.n, 0) AS versions, coalesce(b.n, 0) AS changes FROM (
        SELECT v.layer, count(*) AS n FROM bandoso.version AS v
        WHERE v.valid_to <= before AND (only_layer IS NULL OR v.layer = only_layer) GROUP BY v.layer) AS a
    FULL JOIN (
        SELECT x.layer, count(*) AS n FROM bandoso.change AS x JOIN bandoso.changeset AS c ON c.id = x.changeset
        WHERE c.at < before AND (only_layer IS NULL OR x.layer = only_layer)
          AND bandoso.is_superseded(x, before) GROUP BY x.layer) AS b USING (layer);
    IF really THEN
        DELETE FROM bandoso.version AS v WHERE v.valid_to <= before AND (only_layer IS NULL OR v.layer = only_layer);
        DELETE FROM bandoso.change AS x USING bandoso.changeset AS c
        WHERE c.id = x.changeset AND c.at < before AND (only_layer IS NULL OR x.layer = only_layer)
          AND bandoso.is_superseded(x, before);
        INSERT INTO bandoso.history_since AS s (layer, since, reason)
        SELECT p.layer, before, 'purged' FROM purged AS p WHERE p.versions > 0
        ON CONFLICT ON CONSTRAINT history_since_pkey DO UPDATE SET since = excluded.since, reason = excluded.reason
        WHERE s.since < excluded.since;
    END IF;
    RETURN QUERY SELECT p.layer, p.versions, p.changes FROM purged AS p ORDER BY p.layer;
    DROP TABLE purged;
END
$$;
