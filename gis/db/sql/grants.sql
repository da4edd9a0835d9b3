-- Grants come last, and are given again whenever this file, the migrations or the roles have changed.
-- Layer tables are granted by column in gis.db.ddl: only public fields of public layers.

REVOKE ALL ON SCHEMA bandoso, layer FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA bandoso FROM PUBLIC, bandoso_reader;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA bandoso FROM PUBLIC, bandoso_reader;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA bandoso FROM PUBLIC, bandoso_reader;

GRANT USAGE ON SCHEMA bandoso, layer, public TO bandoso_reader;
GRANT SELECT ON bandoso.layer_count, bandoso.layer_stats TO bandoso_reader;
-- Server processes ask which definitions are applied.
GRANT SELECT (id, fingerprint, applied_at) ON bandoso.layer TO bandoso_reader;
GRANT EXECUTE ON FUNCTION
    bandoso.fold(text), bandoso.unaccent(regdictionary, text), bandoso.search_text(text[]),
    bandoso.search_vector(text[]), bandoso.row_count(text), bandoso.last_change(text)
    TO bandoso_reader;
