-- The projector's own tables. Every statement is idempotent, so that dropped tables can be recreated.

-- One row: the position of the read models, their log, and the projector that may advance it.
CREATE TABLE IF NOT EXISTS capstan.checkpoint (
    name             text PRIMARY KEY,
    position         bigint NOT NULL,
    hash             text NOT NULL,
    recorded_at      timestamptz,
    store_epoch      text,
    store_created_at timestamptz,
    epoch            bigint NOT NULL,
    owner            text,
    lease_until      timestamptz NOT NULL
);

-- Schema and version of the tables of each read model.
CREATE TABLE IF NOT EXISTS capstan.model (
    name            text PRIMARY KEY,
    version         integer NOT NULL,
    schema          text NOT NULL,
    previous_schema text
);

-- Commits that cannot be folded, and the later commits of their streams.
CREATE TABLE IF NOT EXISTS capstan.parked (
    stream    text NOT NULL,
    position  bigint NOT NULL,
    hash      text NOT NULL,
    error     text NOT NULL,
    payload   text NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (stream, position)
);
