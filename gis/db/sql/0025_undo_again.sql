-- A changeset can be undone when what came after it was undone: its features are as it left them, with later numbers.

-- What has to be done to undo a changeset, and what stands in its way. One row for each feature that it touched.
-- ``stands``: the version that is there. ``new_version``: the one that the changeset made, or the one that stands where
-- that is the same again in all but its number. ``seen``: whether the acting account may know of it; ``allowed``:
-- whether it may write it as it is and as it would be, else nothing of it is told. ``later``: changesets that changed it
-- since. ``gone``: what it was is not kept any more. ``attributes``: those that differ from what stands, with the owner;
-- ``geom`` is null where it is the same. At most ``most`` of a layer.
CREATE OR REPLACE FUNCTION bandoso.undo_plan(undone bigint, most integer) RETURNS TABLE (
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
            SELECT $2, x.fid, x.op::text, x.old_version,
                   CASE WHEN r.again THEN t.version::integer ELSE x.new_version END, t.version::integer, $4 OR a.seen, a.allowed,
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
            LEFT JOIN bandoso.version AS w ON w.layer = $2 AND w.fid = x.fid AND w.version = x.new_version
            CROSS JOIN LATERAL (
                SELECT t.version <> x.new_version AND w.owner IS NOT DISTINCT FROM t.owner
                       AND public.ST_AsEWKB(w.geom) IS NOT DISTINCT FROM public.ST_AsEWKB(t.geom)
                       AND NOT EXISTS (
                           SELECT FROM jsonb_each(w.properties) AS p
                           WHERE p.key NOT IN ('version', 'updated_at', 'load_id')
                                 AND to_jsonb(t) -> p.key IS DISTINCT FROM p.value) AS again
            ) AS r
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
