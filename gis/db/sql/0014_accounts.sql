-- What the door (role bandoso_door) may ask: who a login or token is, and the management of accounts by those who
-- may. Refusals have SQLSTATEs BD403, BD404, BD409 and one sentence for whoever asked.

-- Logins. ----------------------------------------------------------------------------------------------------

-- The stored hash of a name's password and its principal; no row for an unknown name. Cheap: for each look.
CREATE FUNCTION bandoso.login(login_name text, OUT account bigint, OUT password text, OUT principal jsonb)
RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT a.id, a.password, bandoso.principal(a.id) FROM bandoso.account AS a WHERE a.name = login_name
$$;

-- Seconds until a key may be tried again: fewer than ``most`` attempts in any ``seconds``.
CREATE FUNCTION bandoso.login_wait(login_key text, most integer, seconds integer) RETURNS double precision
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT greatest(0, seconds - extract(epoch FROM clock_timestamp() - f.at))
    FROM bandoso.login_failure AS f WHERE f.key = login_key
    ORDER BY f.at DESC OFFSET most - 1 LIMIT 1
$$;

-- Counts an attempt to log in, before the password is looked at: its number, or how many seconds to wait.
-- Limits: 10 in 5 minutes of a client at a name, 50 in 15 minutes of a client, and 100 in 15 minutes at a name by
-- clients from which that account has not logged in within 30 days.
CREATE FUNCTION bandoso.login_try(login_name text, client text, OUT attempt bigint, OUT wait double precision)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    by_client text := 'client ' || client;
    by_name text := 'name ' || login_name;
    by_both text := 'both ' || login_name || ' ' || client;
    known boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(1650745449, hashtext(by_client));  -- "bdli": always the client first
    PERFORM pg_advisory_xact_lock(1650745450, hashtext(by_name));
    known := EXISTS (
        SELECT FROM bandoso.login_seen AS s JOIN bandoso.account AS a ON a.id = s.account
        WHERE a.name = login_name AND s.client = login_try.client AND s.at > now() - interval '30 days');
    wait := greatest(
        bandoso.login_wait(by_both, 10, 300),
        bandoso.login_wait(by_client, 50, 900),
        CASE WHEN NOT known THEN bandoso.login_wait(by_name, 100, 900) END);
    IF wait > 0 THEN
        RETURN;
    END IF;
    attempt := nextval('bandoso.login_attempt');
    INSERT INTO bandoso.login_failure (key, attempt)
    SELECT k, attempt FROM unnest(ARRAY[by_client, by_both] || CASE WHEN NOT known THEN by_name END) AS k
    WHERE k IS NOT NULL;
    IF attempt % 20 = 0 THEN
        DELETE FROM bandoso.login_failure WHERE at < clock_timestamp() - interval '15 minutes';
    END IF;
END $$;

-- The attempt was right: it is no failure, and this client is known from now on.
CREATE FUNCTION bandoso.login_passed(tried bigint, login_name text, client text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM bandoso.login_failure WHERE attempt = tried;
    DELETE FROM bandoso.login_failure WHERE key = 'both ' || login_name || ' ' || client;
    INSERT INTO bandoso.login_seen AS s (account, client)
    SELECT a.id, login_passed.client FROM bandoso.account AS a WHERE a.name = login_name
    ON CONFLICT ON CONSTRAINT login_seen_pkey DO UPDATE SET at = now() WHERE s.at < now() - interval '1 day';
    DELETE FROM bandoso.login_seen WHERE at < now() - interval '30 days';
END $$;

-- Whose token has this hash; no row when there is none that is good. Notes its use once a minute.
CREATE FUNCTION bandoso.token_find(secret_hash bytea, OUT token bigint, OUT scopes text[], OUT principal jsonb)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT pg_is_in_recovery() THEN
        UPDATE bandoso.token AS t SET used_at = now()
        WHERE t.id = (SELECT u.id FROM bandoso.token AS u
                      WHERE u.hash = secret_hash AND u.revoked_at IS NULL AND u.expires_at > now()
                        AND (u.used_at IS NULL OR u.used_at < now() - interval '1 minute')
                      FOR UPDATE SKIP LOCKED);
    END IF;
    RETURN QUERY
        SELECT t.id, t.scopes, bandoso.principal(t.account) FROM bandoso.token AS t
        WHERE t.hash = secret_hash AND t.revoked_at IS NULL AND t.expires_at > clock_timestamp()
          AND bandoso.principal(t.account) IS NOT NULL;
END $$;

-- The principal of an issuer's subject ("issuer subject"); null for none.
CREATE FUNCTION bandoso.subject_find(known_as text) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT bandoso.principal(a.id) FROM bandoso.account AS a WHERE a.subject = known_as
$$;

-- What is shown of an account. ------------------------------------------------------------------------------

-- For functions and the owner: it does not look at who asks.
CREATE FUNCTION bandoso.account_shown(account_id bigint) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_build_object(
        'id', a.id, 'name', a.name, 'agency', a.agency, 'password', a.password IS NOT NULL,
        'subject', a.subject, 'disabled', a.disabled, 'created_at', a.created_at,
        'grants', coalesce((
            SELECT jsonb_agg(jsonb_build_object(
                'id', g.id, 'role', g.role, 'agency', g.agency, 'layer', g.layer,
                'area', CASE WHEN g.area IS NOT NULL THEN coalesce(g.area_words, '{}') END) ORDER BY g.id)
            FROM bandoso.account_grant AS g WHERE g.account = a.id), '[]'),
        'tokens', coalesce((
            SELECT jsonb_agg(jsonb_build_object(
                'id', t.id, 'name', t.name, 'scopes', t.scopes, 'created_at', t.created_at,
                'expires_at', t.expires_at, 'revoked_at', t.revoked_at, 'used_at', t.used_at) ORDER BY t.id)
            FROM bandoso.token AS t WHERE t.account = a.id), '[]'))
    FROM bandoso.account AS a WHERE a.id = account_id
$$;

-- The last admin. --------------------------------------------------------------------------------------------

CREATE FUNCTION bandoso.keep_an_admin() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- one after the other: two who take away each other's right do not both succeed
    PERFORM pg_advisory_xact_lock(1650745451, 0);
    IF TG_TABLE_NAME = 'account_grant' THEN
        IF NOT EXISTS (SELECT FROM bandoso.agency AS s WHERE s.id = OLD.agency AND s.shared) THEN
            RETURN NULL;
        END IF;
    ELSIF NOT EXISTS (
        SELECT FROM bandoso.account_grant AS g JOIN bandoso.agency AS s ON s.id = g.agency
        WHERE g.account = OLD.id AND g.role = 'admin' AND s.shared)
    THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (
        SELECT FROM bandoso.account_grant AS g
        JOIN bandoso.agency AS s ON s.id = g.agency JOIN bandoso.account AS a ON a.id = g.account
        WHERE g.role = 'admin' AND g.layer IS NULL AND s.shared AND NOT a.disabled)
    THEN
        RAISE EXCEPTION 'this is the last admin of the city; make another one first' USING ERRCODE = 'BD409';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER keep_an_admin AFTER DELETE OR UPDATE OF role, agency, layer, account ON bandoso.account_grant
    FOR EACH ROW WHEN (OLD.role = 'admin') EXECUTE FUNCTION bandoso.keep_an_admin();
CREATE TRIGGER keep_an_admin AFTER UPDATE OF disabled ON bandoso.account
    FOR EACH ROW WHEN (NEW.disabled AND NOT OLD.disabled) EXECUTE FUNCTION bandoso.keep_an_admin();

-- Jobs of one account. ---------------------------------------------------------------------------------------

-- As job_list: all jobs (by null), or those that an account asked for as a steward.
CREATE FUNCTION bandoso.job_list_of(
    by bigint, of_processes text[], with_status text[], made_from timestamptz, made_to timestamptz,
    least_seconds double precision, greatest_seconds double precision, most integer, skipped integer
) RETURNS SETOF bandoso.job_info
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT * FROM bandoso.job_list(
        of_processes, with_status, made_from, made_to, least_seconds, greatest_seconds, 1000000, 0) AS j
    WHERE by IS NULL OR j.steward AND (j.request ->> 'by')::bigint = by
    ORDER BY created DESC, id LIMIT most OFFSET skipped;
$$;
