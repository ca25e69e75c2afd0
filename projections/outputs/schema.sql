CREATE TABLE outputs (
    id          uuid NOT NULL,
    workspace   text NOT NULL,
    position    bigint NOT NULL,
    version     bigint NOT NULL,
    doc         text NOT NULL,
    task_id     uuid NOT NULL,
    agent_id    uuid NOT NULL,
    output_type text NOT NULL,
    status      text NOT NULL,
    archived    boolean NOT NULL,
    hidden      boolean NOT NULL,
    row_count   bigint NOT NULL,
    created_at  timestamptz NOT NULL
) WITH (fillfactor = 70, toast_tuple_target = 8160);
-- indexes
-- The feed has a partial index: hidden and archived outputs cost its readers nothing.
CREATE INDEX ON outputs (workspace, created_at, id);
CREATE INDEX ON outputs (workspace, created_at, id) WHERE NOT hidden AND NOT archived;
CREATE INDEX ON outputs (task_id);
CREATE INDEX ON outputs (agent_id, created_at, id);
ALTER TABLE outputs ADD PRIMARY KEY (id);
