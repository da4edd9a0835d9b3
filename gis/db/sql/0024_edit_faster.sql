-- What an edit pays in triggers: statements that were put together and planned anew each time become functions of
-- their own layer, which keep their plans, and what did not change is not worked out again.

-- Names (0021, 0023): the triggers of a layer call bandoso.name_<layer>. An update that leaves all its names as they
-- are adds and marks none: a reading finds them in the row as it was, or as it is.
CREATE FUNCTION bandoso.names_triggers(of_layer text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    kept constant text := format('layer.%I', of_layer);
    keeper constant text := format('bandoso.%I', 'name_' || of_layer);
    adding constant text := bandoso.names_adding(of_layer, 'new_rows');
    now_is text;
    was text;
BEGIN
    SELECT string_agg(format('n.%I', f), ', '), string_agg(format('o.%I', f), ', ') INTO STRICT now_is, was
    FROM bandoso.name_source AS s, unnest(s.names || s.former || s.streets || s.addresses) AS f
    WHERE s.layer = of_layer;
    EXECUTE format($function$
        CREATE OR REPLACE FUNCTION %1$s() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
        BEGIN
            IF TG_OP = 'UPDATE' THEN
                IF NOT EXISTS (SELECT FROM new_rows AS n WHERE NOT EXISTS (
                        SELECT FROM old_rows AS o
                        WHERE o.fid = n.fid AND ROW(%3$s) IS NOT DISTINCT FROM ROW(%4$s))) THEN
                    RETURN NULL;
                END IF;
            END IF;
            -- Who reads all names anew looks whether somebody is writing (names_settled).
            PERFORM pg_advisory_xact_lock_shared(hashtext('bandoso.names'), hashtext(%2$L));
            -- A load is not held up: its names are read when it is over.
            IF (SELECT count(*) FROM (SELECT FROM new_rows LIMIT 2001) AS counted) > 2000 THEN
                PERFORM bandoso.names_outdated(%2$L);
            ELSE
                %5$s;
            END IF;
            RETURN NULL;
        END
        $body$
    $function$, keeper, of_layer, was, now_is, replace(adding, '$1', quote_literal(of_layer)));
    EXECUTE format('REVOKE ALL ON FUNCTION %s() FROM PUBLIC', keeper);
    EXECUTE format('CREATE OR REPLACE TRIGGER names_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows
                    FOR EACH STATEMENT EXECUTE FUNCTION %s()', kept, keeper);
    EXECUTE format('CREATE OR REPLACE TRIGGER names_update AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows
                    NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION %s()', kept, keeper);
END
$$;

CREATE OR REPLACE FUNCTION bandoso.names_attach(of_layer text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM bandoso.name_source WHERE layer = of_layer) THEN
        PERFORM bandoso.names_triggers(of_layer);
        PERFORM bandoso.names_outdated(of_layer);
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION bandoso.names_detach(of_layer text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF to_regclass(format('layer.%I', of_layer)) IS NOT NULL THEN
        EXECUTE format('DROP TRIGGER IF EXISTS names_insert ON layer.%I', of_layer);
        EXECUTE format('DROP TRIGGER IF EXISTS names_update ON layer.%I', of_layer);
    END IF;
    EXECUTE format('DROP FUNCTION IF EXISTS bandoso.%I()', 'name_' || of_layer);
    DELETE FROM bandoso.name_source WHERE layer = of_layer;
    DELETE FROM bandoso.name_due WHERE layer = of_layer;
    DELETE FROM bandoso.name WHERE layer = of_layer;
END
$$;

-- Cities that stand: their names are as they were, and need not be read again.
SELECT bandoso.names_triggers(s.layer) FROM bandoso.name_source AS s
WHERE to_regclass(format('layer.%I', s.layer)) IS NOT NULL;
DROP FUNCTION IF EXISTS bandoso.names_keep();

-- At commit of a changeset (0010): only where a load has written a summary, it is put together with what its changes
-- say.
CREATE OR REPLACE FUNCTION bandoso.close_changeset() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    added jsonb;
    found jsonb;
    told text;
BEGIN
    SELECT jsonb_object_agg(layer, what) INTO found FROM (
        SELECT c.layer, jsonb_build_object(
            'created', count(*) FILTER (WHERE op = 'c'), 'updated', count(*) FILTER (WHERE op = 'u'),
            'deleted', count(*) FILTER (WHERE op = 'd'),
            'box', jsonb_build_array(min(public.ST_XMin(box)), min(public.ST_YMin(box)),
                                     max(public.ST_XMax(box)), max(public.ST_YMax(box)))) AS what
        FROM bandoso.change AS c WHERE c.changeset = NEW.id GROUP BY c.layer) AS by_layer;
    SELECT c.summary INTO added FROM bandoso.changeset AS c WHERE c.id = NEW.id;
    IF added IS NOT NULL THEN
        -- What a load added it has written there itself (``loaded``: how many).
        SELECT jsonb_object_agg(key, CASE WHEN one IS NULL THEN other WHEN other IS NULL THEN one
            ELSE other || one || jsonb_build_object(
                'created', (one ->> 'created')::bigint + (other ->> 'created')::bigint,
                'box', jsonb_build_array(
                    least(one -> 'box' -> 0, other -> 'box' -> 0), least(one -> 'box' -> 1, other -> 'box' -> 1),
                    greatest(one -> 'box' -> 2, other -> 'box' -> 2), greatest(one -> 'box' -> 3, other -> 'box' -> 3)))
            END) INTO found
        FROM jsonb_each(found) AS f (key, one) FULL JOIN jsonb_each(added) AS a (key, other) USING (key);
    END IF;
    UPDATE bandoso.changeset SET summary = coalesce(found, '{}') WHERE id = NEW.id;
    -- Whole units, outwards; who hears of it reads finer boxes by bandoso.changed_boxes. A text of 8,000 bytes
    -- would be refused, and the edit with it: boxes of very many layers are left to be read.
    SELECT jsonb_build_object('changeset', NEW.id, 'layers', coalesce(jsonb_object_agg(key, jsonb_build_array(
        floor((value -> 'box' ->> 0)::double precision), floor((value -> 'box' ->> 1)::double precision),
        ceil((value -> 'box' ->> 2)::double precision), ceil((value -> 'box' ->> 3)::double precision))), '{}'))::text
    INTO told FROM jsonb_each(found);
    IF octet_length(told) > 7500 THEN
        told := jsonb_build_object('changeset', NEW.id)::text;
    END IF;
    PERFORM pg_notify('bandoso_change', told);
    RETURN NULL;
END
$$;
