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
    IF current_setting('transaction_read_only') = 'off' THEN
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

-- Management. ------------------------------------------------------------------------------------------------
-- A steward may grant viewer and editor, an admin everything, of the agency, layers and area of his own grant.

CREATE FUNCTION bandoso.may_grant(new_role text, of_agency text, of_layer text, within public.geometry)
RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT bandoso.scope_allows('manage', NULL) AND EXISTS (
        SELECT FROM bandoso.account_grant AS g JOIN bandoso.agency AS s ON s.id = g.agency
        WHERE g.account = bandoso.acting()
          AND (g.role = 'admin' OR g.role = 'steward' AND new_role IN ('viewer', 'editor'))
          AND (s.shared OR g.agency = of_agency)
          AND (g.layer = of_layer
               OR g.layer IS NULL AND (of_layer IS NULL OR s.shared OR EXISTS (
                   SELECT FROM bandoso.agency_layer AS l WHERE l.agency = g.agency AND l.layer = of_layer)))
          AND (g.area IS NULL OR within IS NOT NULL AND public.ST_Covers(g.area, within)))
$$;

-- Whether the acting account is admin of the whole city, without any bound.
CREATE FUNCTION bandoso.is_city_admin() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT bandoso.scope_allows('manage', NULL) AND EXISTS (
        SELECT FROM bandoso.account_grant AS g JOIN bandoso.agency AS s ON s.id = g.agency
        WHERE g.account = bandoso.acting() AND g.role = 'admin' AND s.shared
          AND g.layer IS NULL AND g.area IS NULL)
$$;

-- Whether the acting account manages another: it could have granted all that the other has, and the other belongs
-- to an agency of its.
CREATE FUNCTION bandoso.manages(account_id bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT bandoso.is_city_admin() OR EXISTS (
        SELECT FROM bandoso.account AS a
        WHERE a.id = account_id
          AND CASE WHEN a.agency IS NOT NULL THEN bandoso.may_grant('viewer', a.agency, NULL, NULL)
              ELSE EXISTS (SELECT FROM bandoso.account_grant AS g WHERE g.account = a.id) END
          AND NOT EXISTS (
              SELECT FROM bandoso.account_grant AS g
              WHERE g.account = a.id AND NOT bandoso.may_grant(g.role, g.agency, g.layer, g.area)))
$$;

-- The account of a name, if the acting one manages it; otherwise BD403 or BD404.
CREATE FUNCTION bandoso.managed(login_name text) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    IF NOT bandoso.scope_allows('manage', NULL) THEN
        RAISE EXCEPTION 'this token was not made for managing accounts' USING ERRCODE = 'BD403';
    ELSIF NOT EXISTS (SELECT FROM bandoso.account_grant AS g
                      WHERE g.account = bandoso.acting() AND g.role IN ('steward', 'admin')) THEN
        RAISE EXCEPTION 'only stewards and admins manage accounts' USING ERRCODE = 'BD403';
    END IF;
    SELECT a.id INTO found FROM bandoso.account AS a WHERE a.name = login_name;
    IF found IS NULL OR NOT bandoso.manages(found) THEN
        RAISE EXCEPTION 'there is no such account, or it is not yours to manage' USING ERRCODE = 'BD404';
    END IF;
    RETURN found;
END $$;

-- What the acting account manages, by name.
CREATE FUNCTION bandoso.accounts_managed() RETURNS SETOF jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT bandoso.account_shown(a.id) FROM bandoso.account AS a WHERE bandoso.manages(a.id) ORDER BY a.name
$$;

CREATE FUNCTION bandoso.account_managed(login_name text) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT bandoso.account_shown(bandoso.managed(login_name))
$$;

-- The acting account itself.
CREATE FUNCTION bandoso.account_own() RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT bandoso.account_shown(bandoso.acting())
$$;

CREATE FUNCTION bandoso.check_agency(agency_id text) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF agency_id IS NULL AND NOT bandoso.is_city_admin() THEN
        RAISE EXCEPTION 'an account belongs to an agency of yours; name it' USING ERRCODE = 'BD403';
    ELSIF agency_id IS NOT NULL AND NOT bandoso.may_grant('viewer', agency_id, NULL, NULL) THEN
        RAISE EXCEPTION 'accounts of this agency are not yours to manage' USING ERRCODE = 'BD403';
    ELSIF agency_id IS NOT NULL AND NOT EXISTS (SELECT FROM bandoso.agency AS s WHERE s.id = agency_id) THEN
        RAISE EXCEPTION 'there is no such agency' USING ERRCODE = 'BD404';
    END IF;
END $$;

CREATE FUNCTION bandoso.account_add(
    login_name text, password_hash text, oidc_subject text, of_agency text
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made bigint;
BEGIN
    PERFORM bandoso.check_agency(of_agency);
    INSERT INTO bandoso.account (name, password, subject, agency)
    VALUES (login_name, password_hash, oidc_subject, of_agency) RETURNING id INTO made;
    RETURN made;
EXCEPTION WHEN unique_violation THEN
    RAISE EXCEPTION 'there is an account with this name or subject' USING ERRCODE = 'BD409';
END $$;

-- ``changes``: of disabled, password (a hash or null), subject, agency, those that change.
CREATE FUNCTION bandoso.account_change(login_name text, changes jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    target bigint := bandoso.managed(login_name);
BEGIN
    IF changes ? 'password' AND target = bandoso.acting() THEN
        RAISE EXCEPTION 'your own password is changed at /me/password' USING ERRCODE = 'BD409';
    ELSIF changes ? 'agency' THEN
        PERFORM bandoso.check_agency(changes ->> 'agency');
    END IF;
    UPDATE bandoso.account AS a SET
        disabled = CASE WHEN changes ? 'disabled' THEN (changes ->> 'disabled')::boolean ELSE a.disabled END,
        password = CASE WHEN changes ? 'password' THEN changes ->> 'password' ELSE a.password END,
        subject = CASE WHEN changes ? 'subject' THEN changes ->> 'subject' ELSE a.subject END,
        agency = CASE WHEN changes ? 'agency' THEN changes ->> 'agency' ELSE a.agency END,
        changed_at = now()
    WHERE a.id = target;
EXCEPTION WHEN unique_violation THEN
    RAISE EXCEPTION 'there is an account with this subject' USING ERRCODE = 'BD409';
END $$;

CREATE FUNCTION bandoso.account_remove(login_name text) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM bandoso.account WHERE id = bandoso.managed(login_name)
$$;

-- One's own password; whoever calls has seen the former one.
CREATE FUNCTION bandoso.password_own(password_hash text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT bandoso.scope_allows('manage', NULL) THEN
        RAISE EXCEPTION 'this token was not made for managing accounts' USING ERRCODE = 'BD403';
    END IF;
    UPDATE bandoso.account SET password = password_hash, changed_at = now() WHERE id = bandoso.acting();
END $$;

CREATE FUNCTION bandoso.grant_add(
    login_name text, new_role text, of_agency text, of_layer text, within public.geometry, words jsonb
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    target bigint := bandoso.managed(login_name);
    made bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM bandoso.agency AS s WHERE s.id = of_agency) THEN
        RAISE EXCEPTION 'there is no such agency' USING ERRCODE = 'BD404';
    ELSIF NOT bandoso.may_grant(new_role, of_agency, of_layer, within) THEN
        RAISE EXCEPTION 'nobody grants more than he has' USING ERRCODE = 'BD403';
    END IF;
    INSERT INTO bandoso.account_grant (account, role, agency, layer, area, area_words)
    VALUES (target, new_role, of_agency, of_layer, within, words)
    ON CONFLICT (account, role, agency, layer)
    DO UPDATE SET area = excluded.area, area_words = excluded.area_words RETURNING id INTO made;
    RETURN made;
END $$;

CREATE FUNCTION bandoso.grant_remove(login_name text, grant_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    target bigint := bandoso.managed(login_name);
BEGIN
    DELETE FROM bandoso.account_grant WHERE id = grant_id AND account = target;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the account has no such grant' USING ERRCODE = 'BD404';
    END IF;
END $$;

-- A token of an account that is managed, or (name null) of one's own, whose scopes are none that the shown token
-- does not have.
CREATE FUNCTION bandoso.token_add(
    login_name text, label text, secret_hash bytea, wanted text[], days integer,
    OUT token bigint, OUT expires_at timestamptz
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    target bigint := CASE WHEN login_name IS NULL THEN bandoso.acting() ELSE bandoso.managed(login_name) END;
BEGIN
    IF target IS NULL OR NOT bandoso.scope_allows('manage', NULL) THEN
        RAISE EXCEPTION 'this token was not made for managing accounts' USING ERRCODE = 'BD403';
    ELSIF EXISTS (SELECT FROM unnest(wanted) AS w
                  WHERE NOT bandoso.scope_allows(split_part(w, ':', 1), nullif(split_part(w, ':', 2), ''))) THEN
        RAISE EXCEPTION 'a token makes no other with scopes that it lacks' USING ERRCODE = 'BD403';
    ELSIF 200 <= (SELECT count(*) FROM bandoso.token AS t
                  WHERE t.account = target AND t.revoked_at IS NULL AND t.expires_at > now()) THEN
        RAISE EXCEPTION 'the account has 200 tokens; revoke some' USING ERRCODE = 'BD409';
    END IF;
    INSERT INTO bandoso.token AS t (account, name, hash, scopes, expires_at)
    VALUES (target, label, secret_hash, wanted, now() + make_interval(days => days))
    RETURNING t.id, t.expires_at INTO token, expires_at;
END $$;

CREATE FUNCTION bandoso.token_end(login_name text, token_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    target bigint := CASE WHEN login_name IS NULL THEN bandoso.acting() ELSE bandoso.managed(login_name) END;
BEGIN
    -- a token may always end itself
    IF login_name IS NULL AND token_id::text IS DISTINCT FROM current_setting('bandoso.token', true)
       AND NOT bandoso.scope_allows('manage', NULL) THEN
        RAISE EXCEPTION 'this token was not made for managing accounts' USING ERRCODE = 'BD403';
    END IF;
    UPDATE bandoso.token AS t SET revoked_at = coalesce(t.revoked_at, now())
    WHERE t.id = token_id AND t.account = target;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such token' USING ERRCODE = 'BD404';
    END IF;
END $$;

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
