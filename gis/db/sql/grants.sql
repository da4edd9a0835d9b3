-- Grants come last, and are given again whenever this file, the migrations or the roles have changed.
-- Layer tables are granted by column in gis.db.ddl: only public fields of public layers.

REVOKE ALL ON SCHEMA bandoso, layer FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA bandoso FROM PUBLIC, bandoso_reader, bandoso_jobs;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA bandoso FROM PUBLIC, bandoso_reader;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA bandoso FROM PUBLIC, bandoso_reader, bandoso_jobs;

GRANT USAGE ON SCHEMA bandoso, layer, public TO bandoso_reader;
GRANT SELECT ON bandoso.layer_count, bandoso.layer_stats TO bandoso_reader;
-- Server processes ask which definitions are applied.
GRANT SELECT (id, fingerprint, applied_at) ON bandoso.layer TO bandoso_reader;
GRANT EXECUTE ON FUNCTION
    bandoso.fold(text), bandoso.unaccent(regdictionary, text), bandoso.search_text(text[]),
    bandoso.search_vector(text[]), bandoso.row_count(text), bandoso.last_change(text),
    bandoso.finding_mends(text)
    TO bandoso_reader;

-- Jobs are reached by these functions alone: the tables stay the owner's.
GRANT USAGE ON SCHEMA bandoso TO bandoso_jobs;
GRANT EXECUTE ON FUNCTION
    bandoso.job_submit(text, text, jsonb, boolean, boolean, integer, integer, text, text, integer, integer),
    bandoso.job_get(text),
    bandoso.job_list(text[], text[], timestamptz, timestamptz, double precision, double precision, integer, integer),
    bandoso.job_part(text, integer), bandoso.job_dismiss(text), bandoso.job_forget(text)
    TO bandoso_jobs;
