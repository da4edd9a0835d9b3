-- Only where we are superuser (the embedded server): what no request needs, nobody but the owner may call.
-- Were a filter ever to reach SQL as text, these would run other SQL, write, wait, or disturb sessions.
REVOKE EXECUTE ON FUNCTION
    -- run SQL that is given as text
    pg_catalog.query_to_xml(text, boolean, boolean, text),
    pg_catalog.query_to_xmlschema(text, boolean, boolean, text),
    pg_catalog.query_to_xml_and_xmlschema(text, boolean, boolean, text),
    pg_catalog.cursor_to_xml(refcursor, integer, boolean, boolean, text),
    pg_catalog.cursor_to_xmlschema(refcursor, boolean, boolean, text),
    pg_catalog.table_to_xml(regclass, boolean, boolean, text),
    pg_catalog.schema_to_xml(name, boolean, boolean, text),
    pg_catalog.database_to_xml(boolean, boolean, text),
    pg_catalog.ts_stat(text),
    pg_catalog.ts_stat(text, text),
    pg_catalog.ts_rewrite(tsquery, text),
    -- write large objects or WAL (not held back by a read-only transaction in PostgreSQL 15)
    pg_catalog.lo_creat(integer),
    pg_catalog.lo_create(oid),
    pg_catalog.lo_from_bytea(oid, bytea),
    pg_catalog.lo_put(oid, bigint, bytea),
    pg_catalog.lo_unlink(oid),
    pg_catalog.lo_open(oid, integer),
    pg_catalog.lo_truncate(integer, integer),
    pg_catalog.lo_truncate64(integer, bigint),
    pg_catalog.lowrite(integer, bytea),
    -- disturb other sessions, or sleep
    pg_catalog.pg_cancel_backend(integer),
    pg_catalog.pg_terminate_backend(integer, bigint),
    pg_catalog.pg_notify(text, text),
    pg_catalog.pg_sleep(double precision),
    pg_catalog.pg_sleep_for(interval),
    pg_catalog.pg_sleep_until(timestamptz),
    pg_catalog.pg_advisory_lock(bigint),
    pg_catalog.pg_advisory_lock(integer, integer),
    pg_catalog.pg_advisory_lock_shared(bigint),
    pg_catalog.pg_advisory_lock_shared(integer, integer),
    pg_catalog.pg_advisory_xact_lock(bigint),
    pg_catalog.pg_advisory_xact_lock(integer, integer),
    pg_catalog.pg_advisory_xact_lock_shared(bigint),
    pg_catalog.pg_advisory_xact_lock_shared(integer, integer),
    pg_catalog.pg_try_advisory_lock(bigint),
    pg_catalog.pg_try_advisory_lock(integer, integer),
    pg_catalog.pg_try_advisory_lock_shared(bigint),
    pg_catalog.pg_try_advisory_lock_shared(integer, integer),
    pg_catalog.pg_try_advisory_xact_lock(bigint),
    pg_catalog.pg_try_advisory_xact_lock(integer, integer),
    pg_catalog.pg_try_advisory_xact_lock_shared(bigint),
    pg_catalog.pg_try_advisory_xact_lock_shared(integer, integer),
    pg_catalog.pg_logical_emit_message(boolean, text, text),
    pg_catalog.pg_logical_emit_message(boolean, text, bytea)
FROM PUBLIC;

-- Edits beside each other wait for each other's findings (gis.checks.locks).
GRANT EXECUTE ON FUNCTION
    pg_catalog.pg_advisory_xact_lock(integer, integer),
    pg_catalog.pg_advisory_xact_lock_shared(integer, integer),
    pg_catalog.pg_try_advisory_xact_lock(integer, integer),
    pg_catalog.pg_try_advisory_xact_lock_shared(integer, integer)
TO bandoso_checker;

-- Conditions of a request see a row of a restricted layer before its policy only where they cannot tell of it,
-- and indexes are used for those alone: without this, a box of 50,000 meters reads them all. Each is safe: && compares
-- two boxes and has no error that depends on them; @@ looks words up in a value that stands; and search_vector has
-- been worked out for every row that stands, without an error, when its index entry was made.
ALTER FUNCTION public.geometry_overlaps(public.geometry, public.geometry) LEAKPROOF;
ALTER FUNCTION pg_catalog.ts_match_vq(tsvector, tsquery) LEAKPROOF;
ALTER FUNCTION bandoso.search_vector(text[]) LEAKPROOF;

-- DO blocks and functions of a session's own.
REVOKE USAGE ON LANGUAGE plpgsql, sql FROM PUBLIC;

-- Role settings hold wherever the login role comes from; what the pool sets may only be stricter.
ALTER ROLE bandoso_app SET temp_file_limit = '2GB';
