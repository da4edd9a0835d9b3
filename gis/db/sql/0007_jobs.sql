-- Jobs of OGC API Processes: what was asked, how far it is, and what came of it. The web processes reach
-- them through the functions below alone (role bandoso_jobs); runners (gis.jobs) work as the owner.

CREATE TABLE bandoso.job (
    -- 128 random bits: who knows the id may look at the job
    id text PRIMARY KEY CHECK (id ~ '^[0-9a-f]{32}$'),
    process text NOT NULL,
    -- as the process takes it: checked inputs and the wanted output
    request jsonb NOT NULL,
    -- asked with the steward's secret: may see everything, and only a steward may see it
    steward boolean NOT NULL,
    -- has an end in sight: does not wait behind large ones
    small boolean NOT NULL,
    -- longest run in seconds; 0: any
    most_seconds integer NOT NULL DEFAULT 0,
    keep_seconds integer NOT NULL,
    -- who asked, until the job has ended (for the bound on each client's jobs)
    client text,
    -- hash of the client and its Idempotency-Key
    repeat_key text UNIQUE,
    status text NOT NULL DEFAULT 'accepted'
        CHECK (status IN ('accepted', 'running', 'successful', 'failed', 'dismissed')),
    progress smallint NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
    -- a sentence in each language: {"vi": ..., "en": ...}
    message jsonb NOT NULL DEFAULT '{}',
    -- of a failed job: {"status", "code", "message": {vi, en}, "hint"}
    failure jsonb,
    created timestamptz NOT NULL DEFAULT clock_timestamp(),
    started timestamptz,
    finished timestamptz,
    updated timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- which runner has it, and when that was last heard of; a run that is no longer the job's attempt
    -- can change nothing
    runner text,
    attempts smallint NOT NULL DEFAULT 0,
    heartbeat timestamptz,
    result_type text,
    result_bytes bigint
);
-- Few jobs are unfinished; looking for work never reads the finished ones.
CREATE INDEX job_unfinished ON bandoso.job (status, created) WHERE status IN ('accepted', 'running');
CREATE INDEX job_finished ON bandoso.job (finished) WHERE finished IS NOT NULL;
CREATE INDEX job_created ON bandoso.job (created DESC, id);

-- A result is one gzip stream cut into parts, so that neither side holds it whole.
CREATE TABLE bandoso.job_result (
    job text NOT NULL REFERENCES bandoso.job ON DELETE CASCADE,
    part integer NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (job, part)
);
ALTER TABLE bandoso.job_result ALTER COLUMN body SET STORAGE EXTERNAL; -- it is compressed already

-- What the web may know of a job: nothing of client and runner.
CREATE VIEW bandoso.job_info AS
SELECT id, process, request, steward, status, progress, message, failure, created, started, finished,
       updated, attempts, result_type, result_bytes
FROM bandoso.job;

-- Queues a job. 'made' or 'again' (the same key was used before; its id), 'differs' (the key was used for
-- another request), 'full' (the queue) or 'client-full'. Serialised, so that the bounds hold exactly.
CREATE FUNCTION bandoso.job_submit(
    new_id text, process text, request jsonb, steward boolean, small boolean, most_seconds integer,
    keep_seconds integer, client text, repeat_key text, most_waiting integer, most_of_client integer,
    OUT outcome text, OUT id text
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    waiting bigint;
    of_client bigint;
    former bandoso.job;
BEGIN
    PERFORM pg_advisory_xact_lock(x'62616e646a6f6273'::bigint); -- "bandjobs"
    IF repeat_key IS NOT NULL THEN
        SELECT * INTO former FROM bandoso.job j WHERE j.repeat_key = job_submit.repeat_key;
        IF FOUND THEN
            outcome := CASE WHEN former.request = request AND former.process = process
                AND former.steward = steward THEN 'again' ELSE 'differs' END;
            id := CASE WHEN outcome = 'again' THEN former.id END;
            RETURN;
        END IF;
    END IF;
    SELECT count(*) FILTER (WHERE j.status = 'accepted'), count(*) FILTER (WHERE j.client = job_submit.client)
    INTO waiting, of_client
    FROM bandoso.job j WHERE j.status IN ('accepted', 'running');
    IF of_client >= most_of_client THEN
        outcome := 'client-full';
        RETURN;
    ELSIF waiting >= most_waiting THEN
        outcome := 'full';
        RETURN;
    END IF;
    INSERT INTO bandoso.job (id, process, request, steward, small, most_seconds, keep_seconds, client, repeat_key)
    VALUES (new_id, process, request, steward, small, most_seconds, keep_seconds, client, repeat_key);
    PERFORM pg_notify('bandoso_job', 'new');
    outcome := 'made';
    id := new_id;
END
$$;

CREATE FUNCTION bandoso.job_get(job_id text) RETURNS SETOF bandoso.job_info
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT * FROM bandoso.job_info WHERE id = job_id;
$$;

-- The newest first; every argument but the last two may be null.
CREATE FUNCTION bandoso.job_list(
    of_processes text[], with_status text[], made_from timestamptz, made_to timestamptz,
    least_seconds double precision, greatest_seconds double precision, most integer, skipped integer
) RETURNS SETOF bandoso.job_info
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT * FROM bandoso.job_info j
    WHERE (of_processes IS NULL OR process = ANY (of_processes))
      AND (with_status IS NULL OR status = ANY (with_status))
      AND (made_from IS NULL OR created >= made_from) AND (made_to IS NULL OR created <= made_to)
      AND (least_seconds IS NULL OR extract(epoch FROM coalesce(finished, now()) - started) >= least_seconds)
      AND (greatest_seconds IS NULL
           OR extract(epoch FROM coalesce(finished, now()) - started) <= greatest_seconds)
    ORDER BY created DESC, id LIMIT most OFFSET skipped;
$$;

CREATE FUNCTION bandoso.job_part(job_id text, number integer) RETURNS bytea
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT body FROM bandoso.job_result WHERE job = job_id AND part = number;
$$;

-- Ends an unfinished job, and takes away the result of a finished one. The runner hears of it and stops.
CREATE FUNCTION bandoso.job_dismiss(job_id text) RETURNS SETOF bandoso.job_info
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE bandoso.job j
    SET status = 'dismissed', finished = coalesce(j.finished, clock_timestamp()), updated = clock_timestamp(),
        client = NULL, repeat_key = NULL, failure = NULL, result_type = NULL, result_bytes = NULL,
        message = '{"vi": "Đã huỷ theo yêu cầu.", "en": "Dismissed on request."}'
    WHERE j.id = job_id AND j.status <> 'dismissed';
    IF FOUND THEN
        DELETE FROM bandoso.job_result r WHERE r.job = job_id;
        PERFORM pg_notify('bandoso_job', job_id);
    END IF;
    RETURN QUERY SELECT * FROM bandoso.job_info i WHERE i.id = job_id;
END
$$;

-- Removes a finished job whose result was handed over in the answer itself.
CREATE FUNCTION bandoso.job_forget(job_id text) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM bandoso.job WHERE id = job_id AND finished IS NOT NULL;
$$;
