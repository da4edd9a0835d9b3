-- Who may do what: agencies, accounts, what each was granted, and the secrets they show.
-- Nothing here is granted to a role that serves requests: it is reached by the functions below alone, and the
-- policies of the layers' tables (gis.db.door) ask them.

-- Views through which members read what is hidden from others (gis.db.door).
CREATE SCHEMA member;

-- The agencies of city.yml. A shared one (the warehouse) has stewards and admins who act for all agencies.
CREATE TABLE bandoso.agency (
    id text COLLATE "C" PRIMARY KEY,
    shared boolean NOT NULL DEFAULT false
);

-- The layers that an agency works on by itself: those of its sectors, and those that name it as their owner.
CREATE TABLE bandoso.agency_layer (
    agency text COLLATE "C" NOT NULL REFERENCES bandoso.agency ON DELETE CASCADE,
    layer text COLLATE "C" NOT NULL,
    PRIMARY KEY (agency, layer)
);

CREATE TABLE bandoso.account (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9._@-]{0,62}$'),
    -- argon2id, in the PHC form; null: no login by password
    password text,
    -- issuer and subject of the OIDC provider, with a space between; null: no login by JWT
    subject text COLLATE "C" UNIQUE,
    -- whom it belongs to: whose admins manage it while it was granted nothing
    agency text COLLATE "C" REFERENCES bandoso.agency ON DELETE SET NULL,
    disabled boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE bandoso.account_grant (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account bigint NOT NULL REFERENCES bandoso.account ON DELETE CASCADE,
    role text NOT NULL CHECK (role IN ('viewer', 'editor', 'steward', 'admin')),
    agency text COLLATE "C" NOT NULL REFERENCES bandoso.agency ON DELETE CASCADE,
    -- null: the layers of the agency (all, for stewards and admins of a shared one)
    layer text COLLATE "C",
    -- where it may write, storage CRS; null: everywhere. area_words: as it was given, {"wards": [...]} or
    -- {"polygon": GeoJSON in CRS84}
    area public.geometry,
    area_words jsonb,
    UNIQUE NULLS NOT DISTINCT (account, role, agency, layer)
);

CREATE TABLE bandoso.token (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account bigint NOT NULL REFERENCES bandoso.account ON DELETE CASCADE,
    name text NOT NULL,
    -- SHA-256 of the secret: it has 256 random bits, so nothing slower is needed
    hash bytea NOT NULL UNIQUE,
    -- of read, edit, manage; each may be limited to a layer (edit:water_pipe)
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    used_at timestamptz
);
CREATE INDEX token_account ON bandoso.token (account);

-- Failed logins by name, by client and by both (of all server processes together); old rows go. An attempt is
-- written before the password is looked at and taken back when it was right, so that many at a time count too.
CREATE TABLE bandoso.login_failure (
    key text COLLATE "C" NOT NULL,
    attempt bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX login_failure_key ON bandoso.login_failure (key, at);
CREATE INDEX login_failure_attempt ON bandoso.login_failure (attempt);
CREATE INDEX login_failure_at ON bandoso.login_failure (at);
CREATE SEQUENCE bandoso.login_attempt AS bigint;

-- From where an account has logged in: guesses of others at its name do not shut it out there.
CREATE TABLE bandoso.login_seen (
    account bigint NOT NULL REFERENCES bandoso.account ON DELETE CASCADE,
    client text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account, client)
);

-- The account of this transaction (setting bandoso.account, and bandoso.token when it showed one); null when
-- there is none, it is disabled, or its token is no longer good.
CREATE FUNCTION bandoso.acting() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT a.id FROM bandoso.account AS a
    WHERE a.id = nullif(current_setting('bandoso.account', true), '')::bigint AND NOT a.disabled
      AND (nullif(current_setting('bandoso.token', true), '') IS NULL OR EXISTS (
          SELECT FROM bandoso.token AS t
          WHERE t.id = nullif(current_setting('bandoso.token', true), '')::bigint AND t.account = a.id
            AND t.revoked_at IS NULL AND t.expires_at > clock_timestamp()))
$$;

-- Whether the token of this transaction was made for this: read, edit or manage (of a layer). True without one.
CREATE FUNCTION bandoso.scope_allows(scope text, layer_id text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT nullif(current_setting('bandoso.token', true), '') IS NULL OR EXISTS (
        SELECT FROM bandoso.token AS t
        WHERE t.id = nullif(current_setting('bandoso.token', true), '')::bigint
          AND (scope = ANY (t.scopes) OR scope || ':' || layer_id = ANY (t.scopes)))
$$;

-- Agencies whose hidden features and attributes of a layer the acting account sees.
CREATE FUNCTION bandoso.owners_seen(layer_id text) RETURNS text[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(DISTINCT o.id), '{}')
    FROM bandoso.account_grant AS g
    JOIN bandoso.agency AS s ON s.id = g.agency
    JOIN bandoso.agency AS o ON o.id = g.agency OR s.shared AND g.role IN ('steward', 'admin')
    WHERE g.account = bandoso.acting()
      AND (g.layer = layer_id
           OR g.layer IS NULL AND (s.shared OR EXISTS (
               SELECT FROM bandoso.agency_layer AS l WHERE l.agency = g.agency AND l.layer = layer_id)))
      AND bandoso.scope_allows('read', layer_id)
$$;

-- Whether the acting account may write a feature of this owner and geometry to the layer. ``everywhere``: with
-- geometry null, whether it may do so anywhere.
CREATE FUNCTION bandoso.may_write(layer_id text, feature_owner text, shape public.geometry) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM bandoso.account_grant AS g
        JOIN bandoso.agency AS s ON s.id = g.agency
        WHERE g.account = bandoso.acting() AND g.role <> 'viewer'
          AND (g.agency = feature_owner OR s.shared AND g.role IN ('steward', 'admin'))
          AND (g.layer = layer_id
               OR g.layer IS NULL AND (s.shared OR EXISTS (
                   SELECT FROM bandoso.agency_layer AS l WHERE l.agency = g.agency AND l.layer = layer_id)))
          AND (g.area IS NULL OR shape IS NULL OR public.ST_CoveredBy(shape, g.area))
    ) AND bandoso.scope_allows('edit', layer_id)
$$;

-- Whether the acting account is steward (or admin) for an agency; for all of them when agency is null.
CREATE FUNCTION bandoso.is_steward(agency_id text, at_least text DEFAULT 'steward') RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM bandoso.account_grant AS g
        JOIN bandoso.agency AS s ON s.id = g.agency
        WHERE g.account = bandoso.acting() AND (g.role = 'admin' OR g.role = at_least)
          AND (s.shared OR g.agency = agency_id)
    )
$$;

-- Everything that a server process has to know of a caller, as one JSON value; null for nobody.
CREATE FUNCTION bandoso.principal(account_id bigint) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_build_object(
        'account', a.id, 'name', a.name,
        'grants', coalesce((
            SELECT jsonb_agg(jsonb_build_object(
                'role', g.role, 'agency', g.agency, 'layer', g.layer, 'area', g.area IS NOT NULL,
                'shared', s.shared) ORDER BY g.id)
            FROM bandoso.account_grant AS g JOIN bandoso.agency AS s ON s.id = g.agency
            WHERE g.account = a.id), '[]'))
    FROM bandoso.account AS a WHERE a.id = account_id AND NOT a.disabled
$$;
