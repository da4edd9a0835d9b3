-- Changesets as they are listed, requests that are sent twice, and who made the version that stands.

-- The same request sent again: whether it is the same (``same``) and the answer that it got. Nothing when it is
-- new; then the caller makes it in this transaction, and one that comes meanwhile waits here for its end.
-- Kept for seven days.
CREATE FUNCTION bandoso.request_begin(given bytea, content bytea) RETURNS TABLE (same boolean, reply jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    key bytea := sha256(int8send(bandoso.acting()) || given);
BEGIN
    IF key IS NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(1667787637, hashtext(encode(key, 'hex')));
    UPDATE bandoso.changeset AS c SET request_key = NULL, request_hash = NULL, answer = NULL
    WHERE c.id IN (
        SELECT o.id FROM bandoso.changeset AS o
        WHERE o.request_key IS NOT NULL AND o.at < now() - interval '7 days'
        ORDER BY o.id LIMIT 20 FOR UPDATE SKIP LOCKED);
    RETURN QUERY SELECT c.request_hash = content, c.answer FROM bandoso.changeset AS c
    WHERE c.request_key = key AND c.at >= now() - interval '7 days';
END
$$;
CREATE INDEX changeset_kept ON bandoso.changeset (id) WHERE request_key IS NOT NULL;

-- Keeps the answer of the changeset that is open in this transaction.
CREATE FUNCTION bandoso.request_keep(given bytea, content bytea, reply jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    key bytea := sha256(int8send(bandoso.acting()) || given);
BEGIN
    -- one of eight days ago that the purge has not come to
    UPDATE bandoso.changeset SET request_key = NULL, request_hash = NULL, answer = NULL
    WHERE request_key = key AND at < now() - interval '7 days';
    UPDATE bandoso.changeset SET request_key = key, request_hash = content, answer = reply
    WHERE id = nullif(current_setting('bandoso.changeset', true), '')::bigint AND account = bandoso.acting();
END
$$;

-- The last change of features, as far as the caller may see them: what a conflict tells of the other side.
CREATE FUNCTION bandoso.last_changes(layer_id text, fids bigint[])
RETURNS TABLE (fid bigint, op text, version integer, changeset bigint, author text, agency text, at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT DISTINCT ON (x.fid) x.fid, x.op::text, coalesce(x.new_version, x.old_version), c.id, c.author, c.agency, c.at
    FROM bandoso.layers_seen(ARRAY[layer_id]) AS s
    JOIN bandoso.change AS x ON x.layer = layer_id AND x.fid = ANY (fids)
    JOIN bandoso.changeset AS c ON c.id = x.changeset
    WHERE s.everyone OR x.owner = ANY (s.owners)
    ORDER BY x.fid, x.changeset DESC;
END
$$;

-- Changesets below ``below`` (null: all), the newest first, at most ``most``, as bandoso.entry_seen (0015) tells of
-- them in the layers ``wanted``; authors are asked for by members alone. ``reached``: everything from this id on was
-- looked at; a call looks at ``scan`` changesets.
CREATE FUNCTION bandoso.changesets_seen(
    below bigint, most integer, scan integer, wanted text[], near public.geometry,
    by_author text, by_agency text, since timestamptz, until timestamptz,
    OUT reached bigint, OUT entries jsonb
)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    looked bigint[];
    sight record := bandoso.sight(wanted);
BEGIN
    SELECT array_agg(c.id ORDER BY c.id DESC) INTO looked FROM (
        SELECT id FROM bandoso.changeset AS o
        WHERE (below IS NULL OR o.id < below)
          AND (by_author IS NULL OR o.author = by_author AND bandoso.acting() IS NOT NULL)
          AND (by_agency IS NULL OR o.agency = by_agency)
          AND (since IS NULL OR o.at >= since) AND (until IS NULL OR o.at <= until)
        ORDER BY id DESC LIMIT scan) AS c;
    reached := CASE WHEN cardinality(looked) = scan THEN looked[scan] ELSE 0 END;
    SELECT jsonb_agg(p.entry ORDER BY p.id DESC) INTO entries FROM (
        SELECT c.id, e.entry
        FROM bandoso.changeset AS c,
             LATERAL (SELECT bandoso.entry_seen(c, sight.anyones, sight.hidden, near) AS entry OFFSET 0) AS e
        WHERE c.id = ANY (looked) AND e.entry IS NOT NULL
        ORDER BY c.id DESC LIMIT most + 1) AS p;
    IF jsonb_array_length(entries) > most THEN
        reached := (entries -> (most - 1) ->> 'id')::bigint;
        entries := entries - most;
    END IF;
    entries := coalesce(entries, '[]');
END
$$;
