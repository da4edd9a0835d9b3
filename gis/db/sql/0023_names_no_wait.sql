-- Nobody who edits waits while the names of a layer are read anew (a minute for a million addresses): what is gone is
-- told by rounds instead of by a lock. Each reading of all names is a round of its layer. Who writes a feature marks
-- its names with the round that he sees; the reading marks what it finds with its own. A name with an older mark has
-- not been found, nor been written by anyone since the round began.

ALTER TABLE bandoso.name ADD COLUMN seen bigint NOT NULL DEFAULT 0;
ALTER TABLE bandoso.name SET (fillfactor = 80); -- marks are written beside their rows, without touching an index
ALTER TABLE bandoso.name_source ADD COLUMN round bigint NOT NULL DEFAULT 0;

-- Whoever asks for a reading adds a row: he neither waits for a reading, nor does its end take his wish away.
ALTER TABLE bandoso.name_due DROP CONSTRAINT name_due_pkey;
ALTER TABLE bandoso.name_due ADD COLUMN mark bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;

CREATE OR REPLACE FUNCTION bandoso.names_outdated(of_layer text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO bandoso.name_due (layer) VALUES (of_layer);
    PERFORM pg_notify('bandoso_web', of_layer);
END
$$;

-- The statement that adds and marks the names of the rows in a table ($1: the layer); null for a layer without names.
CREATE OR REPLACE FUNCTION bandoso.names_adding(of_layer text, rows_in text) RETURNS text
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    -- in one order, so that those who add the same names wait for each other and not in a circle
    SELECT format('INSERT INTO bandoso.name (layer, kind, name, folded, seen)
        SELECT $1, kind, name, bandoso.search_text(name), s.round
        FROM (SELECT DISTINCT kind, name FROM (%s) AS every (kind, name)
            WHERE name <> '''' AND length(name) <= 200) AS one, bandoso.name_source AS s
        WHERE s.layer = $1 AND NOT EXISTS (SELECT FROM bandoso.name AS n
            WHERE n.layer = $1 AND n.kind = one.kind AND n.name = one.name AND n.seen >= s.round)
        ORDER BY kind, name COLLATE "C"
        ON CONFLICT (layer, kind, name) DO UPDATE SET seen = excluded.seen WHERE name.seen < excluded.seen', query)
    FROM bandoso.names_query(of_layer, rows_in) AS query WHERE query IS NOT NULL
$$;

-- Begins a round of one layer that is due; no row when none is. Its own transaction: what is written from its end on
-- bears the new round. ``marks`` are the wishes that it meets.
CREATE FUNCTION bandoso.names_begin(OUT of_layer text, OUT marks bigint[]) RETURNS SETOF record
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    SELECT d.layer, array_agg(d.mark) INTO of_layer, marks FROM bandoso.name_due AS d
    GROUP BY d.layer ORDER BY d.layer LIMIT 1;
    IF FOUND THEN
        UPDATE bandoso.name_source SET round = round + 1 WHERE layer = of_layer;
        RETURN NEXT;
    END IF;
END
$$;

-- Whether nobody is writing the layer who may not have seen the new round. The second transaction of a round: the lock
-- is let go at once, and is not waited for, as others would then wait behind it.
CREATE FUNCTION bandoso.names_settled(of_layer text) RETURNS boolean
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    SELECT pg_try_advisory_xact_lock(hashtext('bandoso.names'), hashtext(of_layer))
$$;

-- Reads the layer's names: the third transaction of a round. What neither it nor anyone since its begin has marked is
-- forgotten; unless it is settled (names_settled), only what the round before did not mark either.
CREATE FUNCTION bandoso.names_read(of_layer text, settled boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    kept constant text := format('layer.%I', of_layer);
    adding text;
    oldest bigint;
BEGIN
    IF to_regclass(kept) IS NULL THEN
        RETURN;
    END IF;
    adding := bandoso.names_adding(of_layer, kept);
    IF adding IS NOT NULL THEN
        -- The features are read whole before the first name is written (they are sorted): who writes one of these
        -- names waits for the writing alone.
        EXECUTE adding USING of_layer;
        SELECT round - CASE WHEN settled THEN 0 ELSE 1 END INTO oldest FROM bandoso.name_source WHERE layer = of_layer;
        DELETE FROM bandoso.name WHERE layer = of_layer AND seen < oldest;
    END IF;
END
$$;

-- The wishes are met: the last transaction of a round.
CREATE FUNCTION bandoso.names_end(marks bigint[]) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM bandoso.name_due WHERE mark = ANY (marks)
$$;

DROP FUNCTION bandoso.names_fill();
