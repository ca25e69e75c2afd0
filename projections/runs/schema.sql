CREATE TABLE runs (
    id         uuid NOT NULL,
    workspace  text NOT NULL,
    position   bigint NOT NULL,
    version    bigint NOT NULL,
    doc        text NOT NULL,
    task_id    uuid NOT NULL,
    agent_id   uuid NOT NULL,
    session_id text NOT NULL,
    status     text NOT NULL,
    ok_ms      bigint,
    cost_usd   double precision NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
) WITH (fillfactor = 70, toast_tuple_target = 8160);
-- indexes
-- No index on updated_at: it changes with every event.
CREATE INDEX ON runs (workspace, created_at, id);
CREATE INDEX ON runs (task_id);
CREATE INDEX ON runs (agent_id);
ALTER TABLE runs ADD PRIMARY KEY (id);
