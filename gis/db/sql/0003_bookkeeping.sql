-- What is in the database: applied definitions, row counts, loads, and what prepare has done.

CREATE TABLE bandoso.layer (
    id text PRIMARY KEY,
    definition jsonb NOT NULL,
    fingerprint text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- Fingerprints of what prepare() derives (grants, CRS rows, sheets), so that it can skip it.
CREATE TABLE bandoso.state (
    key text PRIMARY KEY,
    value text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE bandoso.load (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    layer text NOT NULL,
    source text NOT NULL,
    mode text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    rows bigint,
    rejected bigint,
    report jsonb
);
CREATE INDEX load_layer ON bandoso.load (layer, id);

-- Exact row counts that cost the same on millions of rows: each statement adds its difference as a row
-- of its own, so writers never wait for each other; bandoso.compact_counts() sums them up.
CREATE TABLE bandoso.layer_count (
    layer text NOT NULL,
    delta bigint NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX layer_count_layer ON bandoso.layer_count (layer) INCLUDE (delta);

-- A reader sees the counts of the layers it may read, and no others.
ALTER TABLE bandoso.layer_count ENABLE ROW LEVEL SECURITY;
CREATE POLICY readable_layers ON bandoso.layer_count FOR SELECT
    USING (has_any_column_privilege(to_regclass(format('layer.%I', layer))::oid, 'SELECT'));

-- Transition tables cost 0.3 s for a million rows, and count exactly under savepoints and upserts.
CREATE FUNCTION bandoso.count_changes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    difference bigint;
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT count(*) INTO difference FROM changed_rows;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT -count(*) INTO difference FROM changed_rows;
    ELSIF TG_OP = 'TRUNCATE' THEN
        SELECT -coalesce(sum(delta), 0) INTO difference FROM bandoso.layer_count WHERE layer = TG_TABLE_NAME;
    ELSE -- UPDATE: no row more or less, but a time of change
        SELECT CASE WHEN EXISTS (SELECT FROM changed_rows) THEN 0 END INTO difference;
    END IF;
    IF difference <> 0 OR TG_OP = 'UPDATE' AND difference = 0 THEN
        INSERT INTO bandoso.layer_count (layer, delta) VALUES (TG_TABLE_NAME, difference);
    END IF;
    RETURN NULL;
END
$$;

-- Keeps the count of a table of schema layer from now on (its present rows included). Idempotent.
CREATE FUNCTION bandoso.attach_row_count(counted regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    operation text;
    name text;
BEGIN
    IF EXISTS (SELECT FROM pg_trigger WHERE tgrelid = counted AND tgname = 'count_insert') THEN
        RETURN;
    END IF;
    SELECT relname INTO STRICT name FROM pg_class WHERE oid = counted;
    FOREACH operation IN ARRAY ARRAY['insert', 'update', 'delete', 'truncate'] LOOP
        EXECUTE format(
            'CREATE TRIGGER %I AFTER %s ON %s %s FOR EACH STATEMENT EXECUTE FUNCTION bandoso.count_changes()',
            'count_' || operation, operation, counted,
            CASE operation
                WHEN 'truncate' THEN ''
                WHEN 'delete' THEN 'REFERENCING OLD TABLE AS changed_rows'
                ELSE 'REFERENCING NEW TABLE AS changed_rows'
            END
        );
    END LOOP;
    DELETE FROM bandoso.layer_count WHERE layer = name;
    EXECUTE format('INSERT INTO bandoso.layer_count (layer, delta) SELECT %L, count(*) FROM %s', name, counted);
END
$$;

-- Rows of a layer; 0 for a layer that is unknown or not for the caller.
CREATE FUNCTION bandoso.row_count(layer_id text) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (SELECT coalesce(sum(delta), 0)::bigint FROM bandoso.layer_count WHERE layer = layer_id);

-- When rows of a layer were last added, changed or removed; null if never.
CREATE FUNCTION bandoso.last_change(layer_id text) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (SELECT max(changed_at) FROM bandoso.layer_count WHERE layer = layer_id);

CREATE VIEW bandoso.layer_stats WITH (security_invoker = true) AS
SELECT layer, sum(delta)::bigint AS row_count, max(changed_at) AS last_change
FROM bandoso.layer_count
GROUP BY layer;

-- Sums up the differences of layers with many of them. Rows that a running transaction has added are
-- not seen and stay; SKIP LOCKED lets two compactions pass each other.
CREATE FUNCTION bandoso.compact_counts(at_least integer DEFAULT 100) RETURNS bigint
LANGUAGE sql VOLATILE AS $$
    WITH crowded AS (
        SELECT layer FROM bandoso.layer_count GROUP BY layer HAVING count(*) > at_least
    ), taken AS (
        SELECT ctid FROM bandoso.layer_count WHERE layer IN (SELECT layer FROM crowded)
        FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM bandoso.layer_count WHERE ctid = ANY (ARRAY(SELECT ctid FROM taken))
        RETURNING layer, delta, changed_at
    ), added AS (
        INSERT INTO bandoso.layer_count (layer, delta, changed_at)
        SELECT layer, sum(delta), max(changed_at) FROM gone GROUP BY layer
        RETURNING 1
    )
    SELECT count(*) FROM gone;
$$;
