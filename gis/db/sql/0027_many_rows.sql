-- Triggers that meet the old rows of a statement with its new ones (0010) keep their plans for the length of a
-- session. One that was planned for an edit of one row loops over all new rows for each old one: 4,000 rows took
-- 4.8 s after it, and four times that for twice as many. Without loops in loops the plan fits any number of rows.

ALTER FUNCTION bandoso.keep_changes() SET enable_nestloop = off;

-- As in 0010, but for the setting of the function that keeps versions.
CREATE OR REPLACE FUNCTION bandoso.attach_history(kept regclass, versions boolean DEFAULT true) RETURNS void
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
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1
        SET enable_nestloop = off AS $body$
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

-- Cities that stand: the functions that their layers have.
DO $$
DECLARE
    keeper regprocedure;
BEGIN
    FOR keeper IN
        SELECT DISTINCT tgfoid::regprocedure FROM pg_trigger
        WHERE tgname IN ('history_keep_update', 'history_keep_delete')
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET enable_nestloop = off', keeper);
    END LOOP;
END
$$;
