-- Extensions are made by gis.db.migrate beforehand, since their absence needs a sentence of its own.
CREATE SCHEMA IF NOT EXISTS layer;
COMMENT ON SCHEMA layer IS 'One table for each layer of the catalogue';
COMMENT ON SCHEMA bandoso IS 'Bookkeeping and functions of bandoso';

-- Nobody but the owner makes anything here (databases restored from before PostgreSQL 15 allow it).
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
