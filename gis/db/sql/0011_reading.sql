-- What those who have logged in read, beside the policies and views of gis.db.door.

-- Layers that are applied, restricted ones too: server processes need their definitions. Ids and fingerprints
-- tell nothing that the layer files of a server process do not.
CREATE FUNCTION bandoso.applied_layers() RETURNS TABLE (id text, fingerprint text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT l.id, l.fingerprint FROM bandoso.layer AS l
    WHERE NOT coalesce((l.definition ->> 'retired')::boolean, false)
      AND to_regclass(format('layer.%I', l.id)) IS NOT NULL
$$;

-- Members and editors may read some rows of a restricted layer, which is not to say how many it has.
DROP POLICY readable_layers ON bandoso.layer_count;
CREATE POLICY readable_layers ON bandoso.layer_count FOR SELECT
    USING (has_any_column_privilege(to_regclass(format('layer.%I', layer))::oid, 'SELECT')
           AND (current_user NOT IN ('bandoso_member', 'bandoso_editor')
                OR has_any_column_privilege('bandoso_reader', to_regclass(format('layer.%I', layer))::oid, 'SELECT')));

-- Something else whenever rows of the layer have changed; null for who sees nothing that it hides. For caches.
CREATE FUNCTION bandoso.seen_mark(layer_id text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN cardinality(bandoso.owners_seen(layer_id)) > 0 THEN (
        SELECT md5(format('%s %s %s', sum(delta), count(*), max(changed_at)))
        FROM bandoso.layer_count WHERE layer = layer_id) END
$$;

-- Findings about what is hidden (layer.finding_restricted) are seen by whoever sees everything hidden that they
-- name. Layers that hide something are those that have a view for members.
CREATE FUNCTION bandoso.hiding_layers() RETURNS text[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(l.id), '{}') FROM bandoso.layer AS l
    WHERE to_regclass(format('member.%I', l.id)) IS NOT NULL
$$;

-- What of it the acting account sees, as layer/agency; and * for a steward of the whole city, who sees findings
-- of which nobody else is known to be concerned.
CREATE FUNCTION bandoso.hidden_seen() RETURNS text[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(one), '{}') FROM (
        SELECT l.id || '/' || o.owner AS one
        FROM unnest(bandoso.hiding_layers()) AS l (id), unnest(bandoso.owners_seen(l.id)) AS o (owner)
        UNION ALL
        SELECT '*' WHERE EXISTS (
            SELECT FROM bandoso.account_grant AS g JOIN bandoso.agency AS s ON s.id = g.agency AND s.shared
            WHERE g.account = bandoso.acting() AND g.role IN ('steward', 'admin') AND g.layer IS NULL)
    ) AS found
    WHERE bandoso.scope_allows('read', 'finding_restricted')
$$;

-- The mends of such a finding, for whom it is shown.
CREATE FUNCTION bandoso.hidden_finding_mends(finding_id text) RETURNS jsonb
LANGUAGE plpgsql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    seen text[] := bandoso.hidden_seen();
    hiding text[] := bandoso.hiding_layers();
    found jsonb;
BEGIN
    SELECT k.mends INTO found FROM bandoso.finding_key AS k
    JOIN layer.finding_restricted AS f ON f.asset_id = k.id
    WHERE k.id = finding_id AND jsonb_typeof(k.mends) = 'array'
      AND bandoso.finding_is_seen(f.features, hiding, seen)
      -- a mend may change another feature than those that are named: nothing of it is told then
      AND NOT EXISTS (
          SELECT FROM jsonb_array_elements(k.mends) AS m
          WHERE NOT '*' = ANY (seen) AND m ->> 'layer' = ANY (hiding)
            AND NOT EXISTS (SELECT FROM jsonb_array_elements(f.features::jsonb) AS n
                            WHERE n ->> 'layer' = m ->> 'layer' AND n ->> 'fid' = m ->> 'fid'));
    RETURN found;
END
$$;

-- Whether all that is hidden among the features of a finding (JSON, as layer.finding has them) is seen.
CREATE FUNCTION bandoso.finding_is_seen(features text, hiding text[], seen text[]) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT '*' = ANY (seen) OR seen <> '{}' AND coalesce((
        SELECT bool_and((f ->> 'layer') || '/' || (f ->> 'owner') = ANY (seen))
        FROM jsonb_array_elements(features::jsonb) AS f WHERE f ->> 'layer' = ANY (hiding)), false)
$$;
