-- What every edit asks of the database several times, as functions that keep their plans for the length of a session.
-- Functions of the language sql that are not inlined (these have rights of their own) are parsed and planned anew by
-- each statement that calls one: bandoso.may_write took 1.5 ms so, in an edit three times, and 0.1 ms like this. They
-- say the same as in 0009.

CREATE OR REPLACE FUNCTION bandoso.acting() RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    who bigint := nullif(current_setting('bandoso.account', true), '')::bigint;
    shown bigint := nullif(current_setting('bandoso.token', true), '')::bigint;
BEGIN
    IF who IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN (
        SELECT a.id FROM bandoso.account AS a
        WHERE a.id = who AND NOT a.disabled
          AND (shown IS NULL OR EXISTS (
              SELECT FROM bandoso.token AS t
              WHERE t.id = shown AND t.account = a.id AND t.revoked_at IS NULL AND t.expires_at > clock_timestamp())));
END
$$;

CREATE OR REPLACE FUNCTION bandoso.scope_allows(scope text, layer_id text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    shown bigint := nullif(current_setting('bandoso.token', true), '')::bigint;
BEGIN
    RETURN shown IS NULL OR EXISTS (
        SELECT FROM bandoso.token AS t
        WHERE t.id = shown AND (scope = ANY (t.scopes) OR scope || ':' || layer_id = ANY (t.scopes)));
END
$$;

CREATE OR REPLACE FUNCTION bandoso.owners_seen(layer_id text) RETURNS text[]
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    who bigint := bandoso.acting();
BEGIN
    IF who IS NULL OR NOT bandoso.scope_allows('read', layer_id) THEN
        RETURN '{}';
    END IF;
    RETURN (
        SELECT coalesce(array_agg(DISTINCT o.id), '{}')
        FROM bandoso.account_grant AS g
        JOIN bandoso.agency AS s ON s.id = g.agency
        JOIN bandoso.agency AS o ON o.id = g.agency OR s.shared AND g.role IN ('steward', 'admin')
        WHERE g.account = who
          AND (g.layer = layer_id
               OR g.layer IS NULL AND (s.shared OR EXISTS (
                   SELECT FROM bandoso.agency_layer AS l WHERE l.agency = g.agency AND l.layer = layer_id))));
END
$$;

CREATE OR REPLACE FUNCTION bandoso.may_write(layer_id text, feature_owner text, shape public.geometry) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    who bigint := bandoso.acting();
BEGIN
    RETURN who IS NOT NULL AND bandoso.scope_allows('edit', layer_id) AND EXISTS (
        SELECT FROM bandoso.account_grant AS g
        JOIN bandoso.agency AS s ON s.id = g.agency
        WHERE g.account = who AND g.role <> 'viewer'
          AND (g.agency = feature_owner OR s.shared AND g.role IN ('steward', 'admin'))
          AND (g.layer = layer_id
               OR g.layer IS NULL AND (s.shared OR EXISTS (
                   SELECT FROM bandoso.agency_layer AS l WHERE l.agency = g.agency AND l.layer = layer_id)))
          AND (g.area IS NULL OR shape IS NULL OR public.ST_CoveredBy(shape, g.area)));
END
$$;
