-- What changed, for those who follow it (gis.publish.feed). The changes themselves are granted to nobody: these
-- functions show of them what the caller may see, as gis.db.door says of the layers: public layers to anyone, of a
-- restricted one the features of agencies whose hidden features the acting account sees.

-- Of the layers asked for: whether anyone may see it, and else whose features the caller sees of it.
CREATE FUNCTION bandoso.layers_seen(wanted text[]) RETURNS TABLE (layer text, everyone boolean, owners text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT w.id, p.everyone, CASE WHEN p.everyone THEN '{}' ELSE bandoso.owners_seen(w.id) END
    FROM unnest(wanted) AS w (id), LATERAL (
        SELECT coalesce(has_any_column_privilege(
            'bandoso_reader', to_regclass(format('layer.%I', w.id))::oid, 'SELECT'), false)) AS p (everyone)
$$;

-- Whose a changed feature was before; null when it was made.
CREATE FUNCTION bandoso.owner_before(layer_id text, feature bigint, old integer) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT v.owner FROM bandoso.version AS v
    WHERE v.layer = layer_id AND v.fid = feature AND v.version = old
$$;

-- What a changeset did to features of some agencies in a layer, as in its summary; null: nothing.
CREATE FUNCTION bandoso.touched_of(changeset_id bigint, layer_id text, agencies text[]) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made bigint;
    changed bigint;
    gone bigint;
    loaded bigint := 0;
    around public.box3d;
    more public.box3d;
BEGIN
    SELECT count(*) FILTER (WHERE x.op = 'c'), count(*) FILTER (WHERE x.op = 'u'),
           count(*) FILTER (WHERE x.op = 'd'), public.ST_3DExtent(x.box::public.geometry)
    INTO made, changed, gone, around FROM bandoso.change AS x
    WHERE x.changeset = changeset_id AND x.layer = layer_id AND (x.owner = ANY (agencies)
        OR x.op = 'u' AND bandoso.owner_before(x.layer, x.fid, x.old_version) = ANY (agencies));
    IF EXISTS (SELECT FROM bandoso.load AS l WHERE l.changeset = changeset_id AND l.layer = layer_id) THEN
        EXECUTE format('SELECT count(*), public.ST_3DExtent(public.ST_Envelope(geom)) FROM layer.%I
                        WHERE owner = ANY ($1) AND version = 1 AND load_id IN (
                            SELECT id FROM bandoso.load WHERE changeset = $2 AND layer = $3)', layer_id)
        INTO loaded, more USING agencies, changeset_id, layer_id;
    END IF;
    IF made + changed + gone + loaded = 0 THEN
        RETURN NULL;
    END IF;
    RETURN jsonb_build_object(
        'created', made + loaded, 'updated', changed, 'deleted', gone,
        'box', jsonb_build_array(
            least(public.ST_XMin(around), public.ST_XMin(more)), least(public.ST_YMin(around), public.ST_YMin(more)),
            greatest(public.ST_XMax(around), public.ST_XMax(more)),
            greatest(public.ST_YMax(around), public.ST_YMax(more)))
    ) || CASE WHEN loaded > 0 THEN jsonb_build_object('loaded', loaded) ELSE '{}' END;
END
$$;

-- What the caller may see in the layers asked for: those that anyone may, and layer -> agencies of the others.
CREATE FUNCTION bandoso.sight(wanted text[], OUT anyones text[], OUT hidden jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(layer) FILTER (WHERE everyone), '{}'),
           coalesce(jsonb_object_agg(layer, to_jsonb(owners)) FILTER (WHERE NOT everyone AND owners <> '{}'), '{}')
    FROM bandoso.layers_seen(wanted)
$$;

-- A changeset as somebody with that sight is told of it: {id, at, author (to members alone: names of accounts are half
-- of a login), agency, kind, comment, source, undoes, layers: {layer: what}}. Null when nothing of it may be seen, or
-- nothing is near (its box meets a shape in the storage CRS, SRID 0).
CREATE FUNCTION bandoso.entry_seen(one bandoso.changeset, anyones text[], hidden jsonb, near public.geometry)
RETURNS jsonb LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    seen jsonb;
BEGIN
    SELECT jsonb_object_agg(t.layer, t.what) INTO seen FROM (
        SELECT e.key AS layer, e.value AS what
        FROM jsonb_each(one.summary) AS e WHERE e.key = ANY (anyones)
        UNION ALL
        SELECT h.key, bandoso.touched_of(one.id, h.key, ARRAY(SELECT jsonb_array_elements_text(h.value)))
        FROM jsonb_each(hidden) AS h WHERE one.summary ? h.key
    ) AS t
    WHERE t.what IS NOT NULL AND (near IS NULL OR public.ST_Intersects(near, public.ST_MakeEnvelope(
        (t.what -> 'box' ->> 0)::double precision, (t.what -> 'box' ->> 1)::double precision,
        (t.what -> 'box' ->> 2)::double precision, (t.what -> 'box' ->> 3)::double precision)));
    RETURN CASE WHEN seen IS NOT NULL THEN jsonb_build_object(
        'id', one.id, 'at', one.at, 'author', CASE WHEN bandoso.acting() IS NOT NULL THEN one.author END,
        'agency', one.agency, 'kind', one.kind, 'comment', one.comment, 'source', one.source, 'undoes', one.undoes,
        'layers', seen) END;
END
$$;

-- Changesets after ``since`` up to ``upto`` (bandoso.changeset_horizon, asked before), in order of id, at most
-- ``most``, as bandoso.entry_seen tells of them. ``reached``: everything up to this id was looked at; a call looks at
-- ``scan`` changesets.
CREATE FUNCTION bandoso.feed(
    since bigint, upto bigint, most integer, scan integer, wanted text[], near public.geometry,
    OUT reached bigint, OUT entries jsonb
)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    looked bigint;
    sight record := bandoso.sight(wanted);
BEGIN
    SELECT count(*), max(c.id) INTO looked, reached FROM (
        SELECT id FROM bandoso.changeset WHERE id > since AND id <= upto ORDER BY id LIMIT scan) AS c;
    IF looked < scan THEN
        reached := upto;
    END IF;
    SELECT jsonb_agg(p.entry ORDER BY p.id) INTO entries FROM (
        SELECT c.id, e.entry
        FROM bandoso.changeset AS c,
             LATERAL (SELECT bandoso.entry_seen(c, sight.anyones, sight.hidden, near) AS entry OFFSET 0) AS e
        WHERE c.id > since AND c.id <= reached AND e.entry IS NOT NULL
        ORDER BY c.id LIMIT most + 1) AS p;
    IF jsonb_array_length(entries) > most THEN
        reached := (entries -> (most - 1) ->> 'id')::bigint;
        entries := entries - most;
    END IF;
    entries := coalesce(entries, '[]');
END
$$;

-- The features that changesets touched, in order of changeset, layer and fid, after a place in that order. To one
-- who sees only whose it became it was made (c), to one who sees only whose it was it is gone (d).
CREATE FUNCTION bandoso.feed_features(
    changesets bigint[], wanted text[], near public.geometry,
    after_changeset bigint, after_layer text, after_fid bigint, most integer
) RETURNS TABLE (changeset bigint, layer text, fid bigint, op text, old_version integer, new_version integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH seen AS MATERIALIZED (
        SELECT * FROM bandoso.layers_seen(wanted) AS s WHERE s.everyone OR s.owners <> '{}'
    )
    SELECT x.changeset, x.layer, x.fid,
           CASE WHEN s.everyone OR x.op <> 'u' OR is_seen AND was_seen THEN x.op::text
                WHEN is_seen THEN 'c' ELSE 'd' END,
           x.old_version, x.new_version
    FROM bandoso.change AS x JOIN seen AS s ON s.layer = x.layer, LATERAL (
        SELECT x.owner = ANY (s.owners) AS is_seen,
               coalesce(NOT s.everyone AND x.op = 'u'
                        AND bandoso.owner_before(x.layer, x.fid, x.old_version) = ANY (s.owners), false) AS was_seen
    ) AS o
    WHERE x.changeset = ANY (changesets) AND (x.changeset, x.layer, x.fid) > (after_changeset, after_layer, after_fid)
      AND (s.everyone OR is_seen OR was_seen)
      AND (near IS NULL OR public.ST_Intersects(x.box::public.geometry, near))
    ORDER BY x.changeset, x.layer, x.fid LIMIT most
$$;

-- Former versions of features of a layer: their attributes (confidential ones only of agencies that the caller sees
-- them of) and GeoJSON geometry in a CRS (null with srid 0).
CREATE FUNCTION bandoso.feed_versions(
    layer_id text, fids bigint[], versions integer[], srid integer, swap boolean, digits integer
) RETURNS TABLE (fid bigint, version integer, owner text, at timestamptz, properties jsonb, geometry text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH open AS MATERIALIZED (
        SELECT s.everyone, bandoso.owners_seen(layer_id) AS owners, (
            SELECT coalesce(array_agg(a.attname::text), '{}') FROM pg_attribute AS a
            WHERE a.attrelid = to_regclass(format('layer.%I', layer_id)) AND a.attnum > 0 AND NOT a.attisdropped
              AND has_column_privilege('bandoso_reader', a.attrelid, a.attnum, 'SELECT')) AS columns
        FROM bandoso.layers_seen(ARRAY[layer_id]) AS s
    )
    SELECT v.fid, v.version, v.owner, v.valid_from,
           (SELECT coalesce(jsonb_object_agg(p.key, p.value), '{}') FROM jsonb_each(v.properties) AS p
            WHERE p.key = ANY (o.columns) OR v.owner = ANY (o.owners)),
           public.ST_AsGeoJSON(CASE WHEN swap THEN public.ST_FlipCoordinates(g.geom) ELSE g.geom END, digits, 0)
    FROM open AS o, unnest(fids, versions) AS u (fid, version)
    JOIN bandoso.version AS v ON v.layer = layer_id AND v.fid = u.fid AND v.version = u.version, LATERAL (
        SELECT CASE WHEN srid = 0 THEN NULL WHEN public.ST_SRID(v.geom) = srid THEN v.geom
                    ELSE public.ST_Transform(v.geom, srid) END AS geom
    ) AS g
    WHERE o.everyone OR v.owner = ANY (o.owners)
$$;

-- For tiles and caches: where public layers changed, by changeset and layer: one box for each feature, or, where they
-- are more than ``most``, one for each of 16 x 16 cells of all of them. Storage CRS.
CREATE FUNCTION bandoso.changed_boxes(since bigint, upto bigint, most integer)
RETURNS TABLE (changeset bigint, layer text, boxes jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.id, e.key, CASE
        WHEN n.changed = 0 OR e.value ? 'loaded' THEN jsonb_build_array(e.value -> 'box')
        ELSE (
            SELECT jsonb_agg(jsonb_build_array(b.x0, b.y0, b.x1, b.y1)) FROM (
                SELECT min(public.ST_XMin(x.box)) AS x0, min(public.ST_YMin(x.box)) AS y0,
                       max(public.ST_XMax(x.box)) AS x1, max(public.ST_YMax(x.box)) AS y1
                FROM bandoso.change AS x, LATERAL (
                    SELECT (public.ST_XMin(x.box) + public.ST_XMax(x.box)) / 2 AS mx,
                           (public.ST_YMin(x.box) + public.ST_YMax(x.box)) / 2 AS my) AS m
                WHERE x.changeset = c.id AND x.layer = e.key
                GROUP BY CASE WHEN n.changed <= most THEN x.fid ELSE
                    width_bucket(m.mx, (e.value -> 'box' ->> 0)::double precision,
                                 (e.value -> 'box' ->> 2)::double precision + 1, 16) * 100
                    + width_bucket(m.my, (e.value -> 'box' ->> 1)::double precision,
                                   (e.value -> 'box' ->> 3)::double precision + 1, 16) END
            ) AS b)
        END
    FROM bandoso.changeset AS c
    CROSS JOIN LATERAL jsonb_each(c.summary) AS e
    CROSS JOIN LATERAL (
        SELECT count(*) AS changed FROM (
            SELECT FROM bandoso.change AS x WHERE x.changeset = c.id AND x.layer = e.key LIMIT most + 1) AS few) AS n
    JOIN bandoso.layers_seen(ARRAY[e.key]) AS s ON s.everyone
    WHERE c.id > since AND c.id <= upto AND jsonb_typeof(e.value -> 'box') = 'array'
    ORDER BY c.id, e.key
$$;
