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
    -- layer -> {"created", "updated", "deleted", "boxes": [[minx, miny, maxx, maxy], ...] in the storage CRS}
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

-- Opens a changeset in this transaction, or gives the one that is open; ``bandoso.changeset`` holds its id.
-- Before it takes an id it holds a lock that names the last one given out, until its transaction ends: so a reader
-- of the feed knows below which id nothing can still appear (bandoso.changeset_horizon). Locks of the transaction
-- alone: one of the session would outlive a statement that is cancelled, and hold up all writers.
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
    -- "chgt". The last id given out before, held until this transaction ends; shared, so that nobody waits.
    PERFORM pg_advisory_xact_lock_shared(1667787636, (
        SELECT CASE WHEN is_called THEN last_value ELSE 0 END % 2147483647 FROM bandoso.changeset_id)::integer);
    found := nextval('bandoso.changeset_id');
    PERFORM set_config('bandoso.changeset', found::text, true);
    PERFORM set_config('bandoso.at', clock_timestamp()::text, true);
    INSERT INTO bandoso.changeset (id, at, account, author, agency, kind, comment, source, undoes)
    VALUES (found, current_setting('bandoso.at')::timestamptz, actor, coalesce(named, session_user::text), whose,
            new_kind, new_comment, new_source, new_undoes);
    RETURN found;
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

-- Before a row changes: its version and time go on, whoever writes; its fid stays.
CREATE FUNCTION bandoso.stamp_version() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.fid <> OLD.fid THEN
        RAISE EXCEPTION 'the fid of a feature cannot change' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    PERFORM bandoso.changeset_open('direct');
    NEW.version := OLD.version + 1;
    NEW.updated_at := current_setting('bandoso.at')::timestamptz;
    RETURN NEW;
END
$$;

-- After a statement: what it changed, and what was before.
CREATE FUNCTION bandoso.keep_versions() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    opened bigint := bandoso.changeset_open('direct');
    moment timestamptz := current_setting('bandoso.at')::timestamptz;
BEGIN
    IF TG_OP IN ('UPDATE', 'DELETE') THEN
        INSERT INTO bandoso.version (layer, fid, version, valid_from, valid_to, ended_by, owner, properties, geom)
        SELECT TG_TABLE_NAME, o.fid, o.version, o.updated_at, moment, opened, o.owner,
               to_jsonb(o) - '{geom,fid,version,updated_at,owner}'::text[], o.geom
        FROM old_rows AS o;
    END IF;
    IF TG_OP = 'INSERT' THEN
        -- a load adds a million: its rows carry its load_id, and the changeset that of the load
        IF current_setting('bandoso.loading', true) = 'on' THEN
            RETURN NULL;
        END IF;
        INSERT INTO bandoso.change (changeset, layer, fid, op, new_version, owner, box)
        SELECT opened, TG_TABLE_NAME, n.fid, 'c', n.version, n.owner, public.box2d(n.geom) FROM new_rows AS n
        ON CONFLICT (changeset, layer, fid) DO UPDATE
        SET op = CASE WHEN change.op = 'd' THEN 'u'::"char" ELSE change.op END, new_version = excluded.new_version,
            owner = excluded.owner, box = public.ST_CombineBBox(change.box, excluded.box::public.geometry);
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO bandoso.change (changeset, layer, fid, op, old_version, new_version, owner, box)
        SELECT opened, TG_TABLE_NAME, n.fid, 'u', o.version, n.version, n.owner,
               public.ST_CombineBBox(public.box2d(o.geom), n.geom)
        FROM new_rows AS n JOIN old_rows AS o USING (fid)
        ON CONFLICT (changeset, layer, fid) DO UPDATE
        SET new_version = excluded.new_version, owner = excluded.owner,
            box = public.ST_CombineBBox(change.box, excluded.box::public.geometry);
    ELSE
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

-- Keeps the history of a table of schema layer from now on. Idempotent.
CREATE FUNCTION bandoso.attach_history(kept regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_trigger WHERE tgrelid = kept AND tgname = 'history_stamp') THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TRIGGER history_stamp BEFORE UPDATE ON %s
                    FOR EACH ROW EXECUTE FUNCTION bandoso.stamp_version()', kept);
    EXECUTE format('CREATE TRIGGER history_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows
                    FOR EACH STATEMENT EXECUTE FUNCTION bandoso.keep_versions()', kept);
    EXECUTE format('CREATE TRIGGER history_update AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows
                    NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION bandoso.keep_versions()', kept);
    EXECUTE format('CREATE TRIGGER history_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows
                    FOR EACH STATEMENT EXECUTE FUNCTION bandoso.keep_versions()', kept);
END
$$;
CREATE FUNCTION bandoso.detach_history(kept regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['history_stamp', 'history_insert', 'history_update', 'history_delete'] LOOP
        EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', name, kept);
    END LOOP;
END
$$;
