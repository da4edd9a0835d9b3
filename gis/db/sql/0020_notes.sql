-- Where layers changed that are written by bandoso alone (findings, sheets): they have no changesets, but the tiles
-- that server processes keep must follow them too (tiles.follow).

-- xid: the transaction that changed something. Whoever read a snapshot has seen all of those before its xmin, so
-- nobody needs a lock. box: in the storage CRS; null: anywhere.
CREATE TABLE bandoso.note (
    xid bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    layer text COLLATE "C" NOT NULL,
    box public.box2d
);
CREATE INDEX note_xid ON bandoso.note (xid);
CREATE INDEX note_at ON bandoso.note USING brin (at);
-- What was noted by transactions up to this one was forgotten.
CREATE TABLE bandoso.notes_forgotten (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    upto bigint NOT NULL
);
INSERT INTO bandoso.notes_forgotten (upto) VALUES (pg_current_xact_id()::text::bigint);

CREATE FUNCTION bandoso.note_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    now_in constant bigint := pg_current_xact_id()::text::bigint;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO bandoso.note (xid, layer) VALUES (now_in, TG_TABLE_NAME);
        RETURN NULL;
    END IF;
    -- A check may write a hundred thousand findings: one box for those that lie near each other.
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        INSERT INTO bandoso.note (xid, layer, box)
        SELECT now_in, TG_TABLE_NAME, public.ST_Extent(r.geom) FROM new_rows AS r
        GROUP BY floor(public.ST_XMin(r.geom) / 512), floor(public.ST_YMin(r.geom) / 512);
    END IF;
    IF TG_OP IN ('UPDATE', 'DELETE') THEN
        INSERT INTO bandoso.note (xid, layer, box)
        SELECT now_in, TG_TABLE_NAME, public.ST_Extent(r.geom) FROM old_rows AS r
        GROUP BY floor(public.ST_XMin(r.geom) / 512), floor(public.ST_YMin(r.geom) / 512);
    END IF;
    PERFORM pg_notify('bandoso_note', '');
    RETURN NULL;
END
$$;

-- A layer without changesets: what changes in its table is noted from now on, and that it may be another table now.
CREATE OR REPLACE FUNCTION bandoso.detach_history(kept regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT tgname FROM pg_trigger WHERE tgrelid = kept AND tgname LIKE 'history\_%' LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', name, kept);
    END LOOP;
    EXECUTE format('CREATE OR REPLACE TRIGGER note_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows
                    FOR EACH STATEMENT EXECUTE FUNCTION bandoso.note_change()', kept);
    EXECUTE format('CREATE OR REPLACE TRIGGER note_update AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows
                    NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION bandoso.note_change()', kept);
    EXECUTE format('CREATE OR REPLACE TRIGGER note_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows
                    FOR EACH STATEMENT EXECUTE FUNCTION bandoso.note_change()', kept);
    EXECUTE format('CREATE OR REPLACE TRIGGER note_truncate AFTER TRUNCATE ON %s
                    FOR EACH STATEMENT EXECUTE FUNCTION bandoso.note_change()', kept);
    INSERT INTO bandoso.note (xid, layer)
    SELECT pg_current_xact_id()::text::bigint, relname FROM pg_class WHERE oid = kept;
    PERFORM pg_notify('bandoso_note', '');
END
$$;
SELECT bandoso.detach_history(c.oid) FROM pg_class AS c
WHERE c.relnamespace = 'layer'::regnamespace AND c.relkind = 'r'
  AND NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = c.oid AND t.tgname LIKE 'history\_%');

-- The transaction up to which every one has ended; of what is read by a later statement nothing of them is missing.
CREATE FUNCTION bandoso.note_horizon() RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1
$$;

-- What was noted by transactions after one. What was forgotten since changed anywhere: box null.
CREATE FUNCTION bandoso.notes(since bigint) RETURNS TABLE (xid bigint, layer text, box jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT n.xid, n.layer, CASE WHEN n.box IS NOT NULL THEN jsonb_build_array(
        public.ST_XMin(n.box), public.ST_YMin(n.box), public.ST_XMax(n.box), public.ST_YMax(n.box)) END
    FROM bandoso.note AS n WHERE n.xid > since
$$;
CREATE FUNCTION bandoso.notes_known_after() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT upto FROM bandoso.notes_forgotten
$$;

-- Forget notes of before a time.
CREATE FUNCTION bandoso.forget_notes(before timestamptz) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last bigint;
    gone bigint;
BEGIN
    SELECT max(xid) INTO last FROM bandoso.note WHERE at < before;
    UPDATE bandoso.notes_forgotten SET upto = greatest(upto, last) WHERE last IS NOT NULL;
    DELETE FROM bandoso.note WHERE at < before;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
$$;

-- Numbers of changes and transactions mean what they meant for as long as this is the same: a database that was
-- restored from a copy, or to an earlier time, gives them out again for other things.
CREATE FUNCTION bandoso.lineage() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('%s.%s.%s', s.system_identifier, c.timeline_id,
                  (SELECT oid FROM pg_database WHERE datname = current_database()))
    FROM pg_control_system() AS s, pg_control_checkpoint() AS c
$$;
