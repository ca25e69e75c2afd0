-- The projector's own tables. Every statement may be repeated: they are put back when someone dropped them.

-- One row: how far the read models are, for which log, and who may move them on.
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

-- Where the tables of each read model live, in which version.
CREATE TABLE IF NOT EXISTS capstan.model (
    name            text PRIMARY KEY,
    version         integer NOT NULL,
    schema          text NOT NULL,
    previous_schema text
);

-- Commits that could not be folded, and the later commits of the same streams that wait behind them.
CREATE TABLE IF NOT EXISTS capstan.parked (
    stream    text NOT NULL,
    position  bigint NOT NULL,
    hash      text NOT NULL,
    error     text NOT NULL,
    payload   text NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (stream, position)
);
