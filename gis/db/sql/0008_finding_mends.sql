-- Suggested mends as the public may read them: those of findings in layer.finding, one at a time. The keys
-- themselves stay closed. A finding that became restricted, or stopped being so, changes here with its row.
CREATE FUNCTION bandoso.finding_mends(finding_id text) RETURNS jsonb
LANGUAGE sql STABLE STRICT PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT k.mends FROM bandoso.finding_key AS k
    WHERE k.id = finding_id AND NOT k.restricted AND pg_catalog.jsonb_typeof(k.mends) = 'array';
$$;
