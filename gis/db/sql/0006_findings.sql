-- What stands behind the layers finding and finding_restricted: identity, runs, and what is due.
-- Nothing here is granted: keys tell of restricted layers, too.

-- A run of the checks. Rows that are stored by several runs: the newer state of the city (as_of) wins.
CREATE TABLE bandoso.check_run (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    as_of timestamptz NOT NULL,
    apps text[] NOT NULL,
    area public.geometry,
    summary jsonb
);

-- When an application was last judged everywhere. A standing finding has been seen then, too, though its row
-- was not written: the unchanged majority costs nothing.
CREATE TABLE bandoso.check_app (
    app text COLLATE "C" PRIMARY KEY,
    as_of timestamptz NOT NULL
);

-- One row beside each row of layer.finding and layer.finding_restricted (id is its asset_id).
CREATE TABLE bandoso.finding_key (
    id text COLLATE "C" PRIMARY KEY,
    restricted boolean NOT NULL,
    -- Hash of rule, network and features by asset id; ordinal tells apart findings that share it.
    base uuid NOT NULL,
    ordinal integer NOT NULL DEFAULT 1,
    -- Hash of everything that the row shows: equal, and the row is not written.
    content uuid NOT NULL,
    app text COLLATE "C" NOT NULL,
    -- The anchor (gis.checks.window) and the place, storage CRS; no anchor for findings about a whole layer.
    ax double precision,
    ay double precision,
    px double precision NOT NULL,
    py double precision NOT NULL,
    -- layer/fid of every feature it is about.
    about text[] NOT NULL,
    network text NOT NULL,
    reject boolean NOT NULL,
    words jsonb NOT NULL,
    -- Suggested changes: [{layer, fid, asset_id, geometry (EWKB, hexadecimal; null deletes), moved_m, split}].
    mends jsonb,
    -- Runs (check_run.id) that found it new or again after it was mended, and that found it mended.
    new_run bigint,
    mended_run bigint
);
CREATE INDEX finding_key_base ON bandoso.finding_key (base);
CREATE INDEX finding_key_anchor ON bandoso.finding_key USING spgist (point(ax, ay)) WHERE ax IS NOT NULL;
-- Features that end the program that judges them: edits ask for these each time.
CREATE INDEX finding_key_unexamined ON bandoso.finding_key (app) WHERE app LIKE '%!';
CREATE INDEX finding_key_about ON bandoso.finding_key USING gin (about);

-- What edits have judged: a run that began before must not overwrite it with its older knowledge.
CREATE TABLE bandoso.check_edit (
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    apps text[] NOT NULL,
    minx double precision,
    miny double precision,
    maxx double precision,
    maxy double precision,
    about text[]
);
CREATE INDEX check_edit_at ON bandoso.check_edit (at);

-- What edits have left to the next run: an application on a window, or (without box) everywhere. A row for
-- each edit, since a shared one would make edits wait for each other.
CREATE TABLE bandoso.check_due (
    app text COLLATE "C" NOT NULL,
    minx double precision,
    miny double precision,
    maxx double precision,
    maxy double precision,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    since timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX check_due_app ON bandoso.check_due (app);
