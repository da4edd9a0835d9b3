-- What server processes ask about tiles that were made a while ago (tiles.follow).

-- Of changesets up to this one it is not known any more where exactly they changed something: a purge took their
-- changes away. Tiles that were made before it cannot be told right from wrong.
CREATE TABLE bandoso.purged_changes (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    upto bigint NOT NULL
);
INSERT INTO bandoso.purged_changes (upto)
SELECT CASE WHEN EXISTS (SELECT FROM bandoso.history_since WHERE reason = 'purged')
    THEN coalesce(max(id), 0) ELSE 0 END FROM bandoso.changeset;

CREATE FUNCTION bandoso.boxes_known_after() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT upto FROM bandoso.purged_changes
$$;

-- Forget versions that ended before a time (of one layer, or of all), and which features changesets of before touched.
-- The changesets themselves stay. Gives what went, by layer.
CREATE OR REPLACE FUNCTION bandoso.purge_history(before timestamptz, only_layer text, really boolean)
RETURNS TABLE (layer text, versions bigint, changes bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    CREATE TEMP TABLE purged ON COMMIT DROP AS
    SELECT coalesce(a.layer, b.layer) AS layer, coalesce(a.n, 0) AS versions, coalesce(b.n, 0) AS changes,
           coalesce(b.last, 0) AS last FROM (
        SELECT v.layer, count(*) AS n FROM bandoso.version AS v
        WHERE v.valid_to <= before AND (only_layer IS NULL OR v.layer = only_layer) GROUP BY v.layer) AS a
    FULL JOIN (
        SELECT x.layer, count(*) AS n, max(x.changeset) AS last
        FROM bandoso.change AS x JOIN bandoso.changeset AS c ON c.id = x.changeset
        WHERE c.at < before AND (only_layer IS NULL OR x.layer = only_layer)
          AND bandoso.is_superseded(x, before) GROUP BY x.layer) AS b USING (layer);
    IF really THEN
        UPDATE bandoso.purged_changes SET upto = greatest(upto, (SELECT coalesce(max(p.last), 0) FROM purged AS p));
        DELETE FROM bandoso.version AS v WHERE v.valid_to <= before AND (only_layer IS NULL OR v.layer = only_layer);
        DELETE FROM bandoso.change AS x USING bandoso.changeset AS c
        WHERE c.id = x.changeset AND c.at < before AND (only_layer IS NULL OR x.layer = only_layer)
          AND bandoso.is_superseded(x, before);
        INSERT INTO bandoso.history_since AS s (layer, since, reason)
        SELECT p.layer, before, 'purged' FROM purged AS p WHERE p.versions > 0
        ON CONFLICT ON CONSTRAINT history_since_pkey DO UPDATE SET since = excluded.since, reason = excluded.reason
        WHERE s.since < excluded.since;
    END IF;
    RETURN QUERY SELECT p.layer, p.versions, p.changes FROM purged AS p ORDER BY p.layer;
    DROP TABLE purged;
END
$$;
