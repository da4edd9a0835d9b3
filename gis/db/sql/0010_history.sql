-- Changesets, what each changed, and every version that was. Kept by triggers of the layers' tables, so that no
-- writer can forget it: requests, loads, and an operator's own SQL alike.

CREATE SEQUENCE bandoso.changeset_id AS bigint;

CREATE TABLE bandoso.changeset (
    id bigint PRIMARY KEY,
    -- The time of all its changes: taken when their rows are locked, so that times of a feature never go back.
    at timestamptz NOT NULL,
    account bigint,
    author text NOT NULL,
    agency text,
    -- edit, operation, undo, mend, load, direct (SQL of the owner)
    kind text NOT NULL,
    comment text,
    source text,
    undoes bigint REFERENCES bandoso.changeset,
    -- Idempotency: hash of account and key -> hash of the request, and the answer that it got
    request_key bytea UNIQUE,
    request_hash bytea,
    answer jsonb,
    -- layer -> {"created", "updated", "deleted", "box": [minx, miny, maxx, maxy] in the storage CRS, "loaded"?}
    summary jsonb
);
CREATE INDEX changeset_at ON bandoso.changeset (at);
CREATE INDEX changeset_undoes ON bandoso.changeset (undoes) WHERE undoes IS NOT NULL;

-- What a changeset did to a feature, once for each. c: made, u: changed, d: taken away. Features that a load
-- added to a layer are told by their load_id alone.
CREATE TABLE bandoso.change (
    changeset bigint NOT NULL,
    layer text COLLATE "C" NOT NULL,
    fid bigint NOT NULL,
    op "char" NOT NULL CHECK (op IN ('c', 'u', 'd')),
    old_version integer,
    new_version integer,
    owner text NOT NULL,
    box public.box2d,
    PRIMARY KEY (changeset, layer, fid)
);
CREATE INDEX change_feature ON bandoso.change (layer, fid, changeset);

-- Versions that were: each row as it stood from valid_from until valid_to. The version that stands now is in the
-- layer's table (since its updated_at). Attributes by name, so that a layer may gain and lose fields.
CREATE TABLE bandoso.version (
    layer text COLLATE "C" NOT NULL,
    fid bigint NOT NULL,
    version integer NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_to timestamptz NOT NULL,
    ended_by bigint NOT NULL,
    owner text NOT NULL,
    properties jsonb NOT NULL,
    geom public.geometry NOT NULL,
    PRIMARY KEY (layer, fid, version)
);
CREATE INDEX version_time ON bandoso.version (layer, valid_to, valid_from);
CREATE INDEX version_geom ON bandoso.version USING gist (geom);

-- Since when every version of a layer's features is here: it was purged up to then, or kept no history before.
-- No row: since its first feature.
CREATE TABLE bandoso.history_since (
    layer text COLLATE "C" PRIMARY KEY,
    since timestamptz NOT NULL,
    -- purged, or off (history was switched on again at that time)
    reason text NOT NULL CHECK (reason IN ('purged', 'off'))
);

-- Features that a load added have no rows in bandoso.change: they name their load, and it its changeset.
ALTER TABLE bandoso.load ADD COLUMN changeset bigint REFERENCES bandoso.changeset;
CREATE INDEX load_changeset ON bandoso.load (changeset) WHERE changeset IS NOT NULL;

-- Opens a changeset in this transaction, or gives the one that is open; ``bandoso.changeset`` holds its id.
-- Before it takes an id it holds a lock that names the last one given out, until its transaction ends: so a reader
-- of the feed knows below which id nothing can still appear (bandoso.changeset_horizon). Locks of the transaction
-- alone: one of the session would outlive a statement that is cancelled, and hold up all writers.
CREATE FUNCTION bandoso.changeset_begin(
    actor bigint, named text, whose text, new_kind text, new_comment text, new_source text, new_undoes bigint,
    moment timestamptz
) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    -- "chgt". The last id given out before, held until this transaction ends; shared, so that nobody waits.
    PERFORM pg_advisory_xact_lock_shared(1667787636, (
        SELECT CASE WHEN is_called THEN last_value ELSE 0 END % 2147483647 FROM bandoso.changeset_id)::integer);
    found := nextval('bandoso.changeset_id');
    PERFORM set_config('bandoso.changeset', found::text, true);
    -- the same text in every session, whatever its DateStyle and TimeZone
    PERFORM set_config('bandoso.at', to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), true);
    INSERT INTO bandoso.changeset (id, at, account, author, agency, kind, comment, source, undoes)
    VALUES (found, moment, actor, named, whose, new_kind, new_comment, new_source, new_undoes);
    RETURN found;
END
$$;

CREATE FUNCTION bandoso.changeset_open(
    new_kind text, new_comment text DEFAULT NULL, new_source text DEFAULT NULL, new_undoes bigint DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint := nullif(current_setting('bandoso.changeset', true), '')::bigint;
    actor bigint;
    named text;
    whose text;
BEGIN
    IF found IS NOT NULL THEN
        RETURN found;
    END IF;
    actor := bandoso.acting();
    SELECT a.name, (SELECT min(g.agency) FROM bandoso.account_grant AS g WHERE g.account = a.id AND g.role <> 'viewer')
    INTO named, whose FROM bandoso.account AS a WHERE a.id = actor;
    RETURN bandoso.changeset_begin(actor, coalesce(named, session_user::text), whose, new_kind, new_comment,
                                   new_source, new_undoes, clock_timestamp());
END
$$;

-- The same for what an operator does with the owner's rights (granted to nobody): under the name of a person.
-- ``moment``: the time of rows that were written aside before; else now.
CREATE FUNCTION bandoso.changeset_by_operator(
    new_kind text, named text, new_comment text DEFAULT NULL, new_source text DEFAULT NULL,
    new_undoes bigint DEFAULT NULL, moment timestamptz DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint := nullif(current_setting('bandoso.changeset', true), '')::bigint;
BEGIN
    IF found IS NOT NULL THEN
        RETURN found;
    END IF;
    RETURN bandoso.changeset_begin(NULL, named, NULL, new_kind, new_comment, new_source, new_undoes,
                                   coalesce(moment, clock_timestamp()));
END
$$;

-- The greatest id up to which every changeset is either committed or will never be.
-- What is read by a later statement (with a snapshot of its own) has all of them.
CREATE FUNCTION bandoso.changeset_horizon() RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last bigint;
    running bigint;
BEGIN
    -- The sequence first: whoever was given an id by then has held its lock since before.
    SELECT CASE WHEN is_called THEN last_value ELSE 0 END INTO last FROM bandoso.changeset_id;
    SELECT min(objid::bigint) INTO running FROM pg_locks
    WHERE locktype = 'advisory' AND classid = 1667787636 AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
    RETURN least(running, last);
END
$$;

-- Before a row changes: its version and time go on, whoever writes; its fid stays. A changeset that was opened before
-- another one changed this row ends that version a moment later, so that no version ends before it began.
CREATE FUNCTION bandoso.stamp_version() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    moment timestamptz;
BEGIN
    IF NEW.fid <> OLD.fid THEN
        RAISE EXCEPTION 'the fid of a feature cannot change' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF coalesce(current_setting('bandoso.changeset', true), '') = '' THEN
        PERFORM bandoso.changeset_open('direct');
    END IF;
    moment := current_setting('bandoso.at')::timestamptz;
    NEW.version := OLD.version + 1;
    NEW.updated_at := CASE WHEN OLD.updated_at > moment THEN OLD.updated_at + interval '1 microsecond'
                           ELSE moment END;
    RETURN NEW;
END
$$;

-- Before a row is made: its time is the changeset's. What comes back after it was taken away goes on with its
-- versions: they are told apart by their numbers, and an ETag of before must not fit again. The owner's own SQL
-- may say another time and version.
CREATE FUNCTION bandoso.stamp_new() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    moment timestamptz;
    last record;
BEGIN
    IF coalesce(current_setting('bandoso.changeset', true), '') = '' THEN
        PERFORM bandoso.changeset_open('direct');
    END IF;
    moment := current_setting('bandoso.at')::timestamptz;
    IF session_user = 'bandoso_app' THEN
        NEW.version := 1;
        NEW.updated_at := moment;
    ELSIF NEW.updated_at = now() THEN
        NEW.updated_at := moment;
    END IF;
    SELECT v.version, v.valid_to INTO last FROM bandoso.version AS v
    WHERE v.layer = TG_TABLE_NAME AND v.fid = NEW.fid ORDER BY v.version DESC LIMIT 1;
    IF FOUND THEN
        NEW.version := greatest(NEW.version, last.version + 1);
        NEW.updated_at := greatest(NEW.updated_at, last.valid_to);
    END IF;
    RETURN NEW;
END
$$;

-- After a statement: what it did to which features.
CREATE FUNCTION bandoso.keep_changes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    opened bigint;
BEGIN
    IF TG_OP = 'INSERT' THEN
        -- a load adds a million: its rows carry its load_id, and the load its changeset
        IF current_setting('bandoso.loading', true) = 'on' AND session_user <> 'bandoso_app' THEN
            RETURN NULL;
        END IF;
        opened := bandoso.changeset_open('direct');
        INSERT INTO bandoso.change (changeset, layer, fid, op, new_version, owner, box)
        SELECT opened, TG_TABLE_NAME, n.fid, 'c', n.version, n.owner, public.box2d(n.geom) FROM new_rows AS n
        ON CONFLICT (changeset, layer, fid) DO UPDATE
        SET op = CASE WHEN change.op = 'd' THEN 'u'::"char" ELSE change.op END, new_version = excluded.new_version,
            owner = excluded.owner, box = public.ST_CombineBBox(change.box, excluded.box::public.geometry);
    ELSIF TG_OP = 'UPDATE' THEN
        opened := bandoso.changeset_open('direct');
        INSERT INTO bandoso.change (changeset, layer, fid, op, old_version, new_version, owner, box)
        SELECT opened, TG_TABLE_NAME, n.fid, 'u', o.version, n.version, n.owner,
               public.ST_CombineBBox(public.box2d(o.geom), n.geom)
        FROM new_rows AS n JOIN old_rows AS o USING (fid)
        ON CONFLICT (changeset, layer, fid) DO UPDATE
        SET new_version = excluded.new_version, owner = excluded.owner,
            box = public.ST_CombineBBox(change.box, excluded.box::public.geometry);
    ELSE
        opened := bandoso.changeset_open('direct');
        INSERT INTO bandoso.change (changeset, layer, fid, op, old_version, owner, box)
        SELECT opened, TG_TABLE_NAME, o.fid, 'd', o.version, o.owner, public.box2d(o.geom) FROM old_rows AS o
        ON CONFLICT (changeset, layer, fid) DO UPDATE
        SET op = 'd', new_version = NULL, owner = excluded.owner,
            box = public.ST_CombineBBox(change.box, excluded.box::public.geometry);
        -- made and taken away again: nothing happened
        DELETE FROM bandoso.change AS c USING old_rows AS o
        WHERE c.changeset = opened AND c.layer = TG_TABLE_NAME AND c.fid = o.fid AND c.old_version IS NULL;
    END IF;
    RETURN NULL;
END
$$;

-- TRUNCATE shows no trigger the rows that it takes away: they are deleted before it.
CREATE FUNCTION bandoso.delete_first() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('DELETE FROM %s', TG_RELID::regclass);
    RETURN NULL;
END
$$;

-- At commit: the changeset's summary, told to all who wait for it (channel bandoso_change).
CREATE FUNCTION bandoso.close_changeset() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found jsonb;
    told text;
BEGIN
    SELECT jsonb_object_agg(layer, what) INTO found FROM (
        SELECT c.layer, jsonb_build_object(
            'created', count(*) FILTER (WHERE op = 'c'), 'updated', count(*) FILTER (WHERE op = 'u'),
            'deleted', count(*) FILTER (WHERE op = 'd'),
            'box', jsonb_build_array(min(public.ST_XMin(box)), min(public.ST_YMin(box)),
                                     max(public.ST_XMax(box)), max(public.ST_YMax(box)))) AS what
        FROM bandoso.change AS c WHERE c.changeset = NEW.id GROUP BY c.layer) AS by_layer;
    -- What a load added it has written there itself (``loaded``: how many).
    SELECT jsonb_object_agg(key, CASE WHEN one IS NULL THEN other WHEN other IS NULL THEN one
        ELSE other || one || jsonb_build_object(
            'created', (one ->> 'created')::bigint + (other ->> 'created')::bigint,
            'box', jsonb_build_array(
                least(one -> 'box' -> 0, other -> 'box' -> 0), least(one -> 'box' -> 1, other -> 'box' -> 1),
                greatest(one -> 'box' -> 2, other -> 'box' -> 2), greatest(one -> 'box' -> 3, other -> 'box' -> 3)))
        END) INTO found
    FROM jsonb_each(found) AS f (key, one) FULL JOIN (
        SELECT e.* FROM bandoso.changeset AS c, jsonb_each(c.summary) AS e WHERE c.id = NEW.id
    ) AS added (key, other) USING (key);
    UPDATE bandoso.changeset SET summary = coalesce(found, '{}') WHERE id = NEW.id;
    -- Whole units, outwards; who hears of it reads finer boxes by bandoso.changed_boxes. A text of 8,000 bytes
    -- would be refused, and the edit with it: boxes of very many layers are left to be read.
    SELECT jsonb_build_object('changeset', NEW.id, 'layers', coalesce(jsonb_object_agg(key, jsonb_build_array(
        floor((value -> 'box' ->> 0)::double precision), floor((value -> 'box' ->> 1)::double precision),
        ceil((value -> 'box' ->> 2)::double precision), ceil((value -> 'box' ->> 3)::double precision))), '{}'))::text
    INTO told FROM jsonb_each(found);
    IF octet_length(told) > 7500 THEN
        told := jsonb_build_object('changeset', NEW.id)::text;
    END IF;
    PERFORM pg_notify('bandoso_change', told);
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER close AFTER INSERT ON bandoso.changeset
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION bandoso.close_changeset();

-- Keeps, from now on, what changes in a table of schema layer, and with ``versions`` how it was before. To be called
-- again when its columns have changed: the function that keeps its rows names them (to_jsonb of the row itself
-- would write each geometry as GeoJSON first). Idempotent.
CREATE FUNCTION bandoso.attach_history(kept regclass, versions boolean DEFAULT true) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    name text;
    keeper text;
    names text;
    -- Loads give versions and times themselves; nobody can say so in the name of a request.
    unless constant text := 'coalesce(current_setting(''bandoso.loading'', true), '''') <> ''on'''
                            ' OR session_user = ''bandoso_app''';
BEGIN
    SELECT relname INTO STRICT name FROM pg_class WHERE oid = kept;
    EXECUTE format('CREATE OR REPLACE TRIGGER history_stamp BEFORE UPDATE ON %s
                    FOR EACH ROW WHEN (%s) EXECUTE FUNCTION bandoso.stamp_version()', kept, unless);
    EXECUTE format('CREATE OR REPLACE TRIGGER history_new BEFORE INSERT ON %s
                    FOR EACH ROW WHEN (%s) EXECUTE FUNCTION bandoso.stamp_new()', kept, unless);
    EXECUTE format('CREATE OR REPLACE TRIGGER history_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows
                    FOR EACH STATEMENT EXECUTE FUNCTION bandoso.keep_changes()', kept);
    EXECUTE format('CREATE OR REPLACE TRIGGER history_update AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows
                    NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION bandoso.keep_changes()', kept);
    EXECUTE format('CREATE OR REPLACE TRIGGER history_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows
                    FOR EACH STATEMENT EXECUTE FUNCTION bandoso.keep_changes()', kept);
    EXECUTE format('CREATE OR REPLACE TRIGGER history_truncate BEFORE TRUNCATE ON %s
                    FOR EACH STATEMENT EXECUTE FUNCTION bandoso.delete_first()', kept);
    IF NOT versions THEN
        EXECUTE format('DROP TRIGGER IF EXISTS history_keep_update ON %s', kept);
        EXECUTE format('DROP TRIGGER IF EXISTS history_keep_delete ON %s', kept);
        RETURN;
    END IF;
    keeper := format('bandoso.%I', 'keep_' || name);
    SELECT string_agg(format('o.%I', attname), ', ' ORDER BY attnum) INTO names FROM pg_attribute
    WHERE attrelid = kept AND attnum > 0 AND NOT attisdropped
      AND attname <> ALL ('{fid,version,updated_at,owner,geom}');
    -- A version that this changeset itself made nobody has seen: it is not kept.
    EXECUTE format($function$
        CREATE OR REPLACE FUNCTION %1$s() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1 AS $body$
        DECLARE
            opened bigint := bandoso.changeset_open('direct');
            moment timestamptz := current_setting('bandoso.at')::timestamptz;
        BEGIN
            IF TG_OP = 'UPDATE' THEN
                INSERT INTO bandoso.version
                    (layer, fid, version, valid_from, valid_to, ended_by, owner, properties, geom)
                SELECT %2$L, o.fid, o.version, o.updated_at, n.updated_at, opened, o.owner,
                       to_jsonb((SELECT r FROM (SELECT %3$s) AS r)), o.geom
                FROM old_rows AS o JOIN new_rows AS n USING (fid) WHERE o.updated_at < n.updated_at;
            ELSE
                INSERT INTO bandoso.version
                    (layer, fid, version, valid_from, valid_to, ended_by, owner, properties, geom)
                SELECT %2$L, o.fid, o.version, o.updated_at,
                       CASE WHEN o.updated_at > moment THEN o.updated_at + interval '1 microsecond' ELSE moment END,
                       opened, o.owner, to_jsonb((SELECT r FROM (SELECT %3$s) AS r)), o.geom
                FROM old_rows AS o WHERE o.updated_at <> moment;
            END IF;
            RETURN NULL;
        END
        $body$
    $function$, keeper, name, names);
    EXECUTE format('REVOKE ALL ON FUNCTION %s() FROM PUBLIC', keeper);
    EXECUTE format('CREATE OR REPLACE TRIGGER history_keep_update AFTER UPDATE ON %s
                    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
                    FOR EACH STATEMENT EXECUTE FUNCTION %s()', kept, keeper);
    EXECUTE format('CREATE OR REPLACE TRIGGER history_keep_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows
                    FOR EACH STATEMENT EXECUTE FUNCTION %s()', kept, keeper);
END
$$;
CREATE FUNCTION bandoso.detach_history(kept regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT tgname FROM pg_trigger WHERE tgrelid = kept AND tgname LIKE 'history\_%' LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', name, kept);
    END LOOP;
END
$$;
