CREATE TABLE schedules (
    id             uuid NOT NULL,
    workspace      text NOT NULL,
    position       bigint NOT NULL,
    version        bigint NOT NULL,
    doc            text NOT NULL,
    agent_id       uuid NOT NULL,
    source_view_id text,
    active         boolean NOT NULL,
    next_run_at    timestamptz,
    created_at     timestamptz NOT NULL
) WITH (fillfactor = 70, toast_tuple_target = 8160);
-- indexes
-- No index on next_run_at: it changes with every tick, and the engine keeps its own timers.
CREATE INDEX ON schedules (workspace, created_at, id);
CREATE INDEX ON schedules (workspace, source_view_id, created_at, id) WHERE source_view_id IS NOT NULL;
CREATE INDEX ON schedules (agent_id);
ALTER TABLE schedules ADD PRIMARY KEY (id);
