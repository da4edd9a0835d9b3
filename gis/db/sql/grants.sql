-- Grants come last, and are given again whenever this file, the migrations or the roles have changed.
-- Layer tables are granted by column in gis.db.ddl: only public fields of public layers.

REVOKE ALL ON SCHEMA bandoso, layer, member, past, web FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA bandoso
    FROM PUBLIC, bandoso_reader, bandoso_jobs, bandoso_member, bandoso_editor, bandoso_checker, bandoso_door;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA bandoso
    FROM PUBLIC, bandoso_reader, bandoso_member, bandoso_editor, bandoso_checker, bandoso_door;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA bandoso
    FROM PUBLIC, bandoso_reader, bandoso_jobs, bandoso_member, bandoso_editor, bandoso_checker, bandoso_door;

GRANT USAGE ON SCHEMA bandoso, layer, public TO bandoso_reader, bandoso_member, bandoso_editor, bandoso_checker;
GRANT USAGE ON SCHEMA member TO bandoso_member;
GRANT USAGE ON SCHEMA past, web TO bandoso_reader, bandoso_member;
GRANT USAGE ON SCHEMA bandoso, public TO bandoso_door;
GRANT SELECT ON bandoso.layer_count, bandoso.layer_stats, bandoso.web_gap TO bandoso_reader, bandoso_member;
-- Names of public layers (0021): anyone looks them up.
GRANT SELECT ON bandoso.name TO bandoso_reader, bandoso_member;
GRANT EXECUTE ON FUNCTION bandoso.names_like(text, text[], integer), bandoso.findings_about(text[]),
    bandoso.findings_of(text[], integer)
    TO bandoso_reader, bandoso_member;
-- Files of raster layers (0022), as far as policies let them be seen.
GRANT SELECT ON bandoso.raster_layer, bandoso.raster_file TO bandoso_reader, bandoso_member;
GRANT EXECUTE ON FUNCTION bandoso.raster_seen(text, text) TO bandoso_reader, bandoso_member;
-- Server processes ask which definitions are applied.
GRANT SELECT (id, fingerprint, applied_at) ON bandoso.layer TO bandoso_reader;
GRANT EXECUTE ON FUNCTION
    bandoso.fold(text), bandoso.unaccent(regdictionary, text), bandoso.search_text(text[]),
    bandoso.search_vector(text[]), bandoso.row_count(text), bandoso.last_change(text),
    bandoso.finding_mends(text)
    TO bandoso_reader, bandoso_member, bandoso_editor, bandoso_checker;
GRANT EXECUTE ON FUNCTION bandoso.acting(), bandoso.owners_seen(text), bandoso.scope_allows(text, text)
    TO bandoso_member, bandoso_editor, bandoso_door;
-- What changed, as far as the caller may see it.
GRANT EXECUTE ON FUNCTION
    bandoso.changeset_horizon(), bandoso.feed(bigint, bigint, integer, integer, text[], public.geometry),
    bandoso.feed_features(bigint[], text[], public.geometry, bigint, text, bigint, integer),
    bandoso.feed_versions(text, bigint[], integer[], integer, boolean, integer),
    bandoso.changed_boxes(bigint, bigint, integer), bandoso.boxes_known_after(), bandoso.lineage(),
    bandoso.notes(bigint), bandoso.notes_known_after(), bandoso.note_horizon()
    TO bandoso_reader, bandoso_member;
-- Low zooms (0017): tables of schema web are granted one by one.
GRANT EXECUTE ON FUNCTION
    bandoso.low_horizon(), bandoso.low_changes(bigint, bigint), bandoso.low_stale(text[], public.box2d, public.box2d)
    TO bandoso_reader, bandoso_member;
GRANT EXECUTE ON FUNCTION bandoso.applied_layers() TO bandoso_reader, bandoso_member;
-- What was (0013): the views of schema past are granted one by one (gis.db.past).
GRANT EXECUTE ON FUNCTION
    bandoso.kept_integer(text), bandoso.kept_number(text), bandoso.kept_date(text), bandoso.kept_datetime(text),
    bandoso.history_begins(text), bandoso.version_events(text, bigint), bandoso.changesets_told(bigint[]),
    bandoso.touched(text, timestamptz, timestamptz, integer)
    TO bandoso_reader, bandoso_member, bandoso_editor;
GRANT EXECUTE ON FUNCTION bandoso.undo_plan(bigint, integer) TO bandoso_editor;
-- What of restricted layers and of findings about them is shown to whom (0011).
GRANT EXECUTE ON FUNCTION
    bandoso.hiding_layers(), bandoso.hidden_seen(), bandoso.seen_mark(text), bandoso.hidden_finding_mends(text),
    bandoso.finding_is_seen(text, text[], text[])
    TO bandoso_member;
GRANT EXECUTE ON FUNCTION
    bandoso.last_changes(text, bigint[]), bandoso.changesets_seen(
        bigint, integer, integer, text[], public.geometry, text, text, timestamptz, timestamptz)
    TO bandoso_reader, bandoso_member;
GRANT EXECUTE ON FUNCTION bandoso.request_begin(bytea, bytea), bandoso.request_keep(bytea, bytea, jsonb)
    TO bandoso_editor;
-- Editors open changesets; what they write is kept by triggers, which have the owner's rights.
GRANT EXECUTE ON FUNCTION
    bandoso.may_write(text, text, public.geometry), bandoso.is_steward(text, text),
    bandoso.changeset_open(text, text, text, bigint)
    TO bandoso_editor;
-- Checks of edits read what stands, and write findings.
GRANT SELECT, INSERT, UPDATE, DELETE ON bandoso.finding_key, bandoso.check_edit, bandoso.check_due TO bandoso_checker;
GRANT SELECT ON bandoso.check_run, bandoso.check_app, bandoso.layer_count, bandoso.version TO bandoso_checker;
GRANT EXECUTE ON FUNCTION bandoso.principal(bigint), bandoso.is_steward(text, text) TO bandoso_door;
-- Logins and accounts are reached by these alone (0014_accounts.sql).
GRANT EXECUTE ON FUNCTION
    bandoso.login(text), bandoso.login_try(text, text), bandoso.login_passed(bigint, text, text),
    bandoso.token_find(bytea), bandoso.subject_find(text),
    bandoso.accounts_managed(), bandoso.account_managed(text), bandoso.account_own(),
    bandoso.account_add(text, text, text, text), bandoso.account_change(text, jsonb), bandoso.account_remove(text),
    bandoso.password_own(text), bandoso.grant_add(text, text, text, text, public.geometry, jsonb),
    bandoso.grant_remove(text, bigint), bandoso.token_add(text, text, bytea, text[], integer),
    bandoso.token_end(text, bigint)
    TO bandoso_door;

-- Jobs are reached by these functions alone: the tables stay the owner's.
GRANT USAGE ON SCHEMA bandoso TO bandoso_jobs;
GRANT EXECUTE ON FUNCTION
    bandoso.job_submit(text, text, jsonb, boolean, boolean, integer, integer, text, text, integer, integer),
    bandoso.job_get(text),
    bandoso.job_list_of(
        bigint, text[], text[], timestamptz, timestamptz, double precision, double precision, integer, integer),
    bandoso.job_part(text, integer), bandoso.job_dismiss(text), bandoso.job_forget(text)
    TO bandoso_jobs;
