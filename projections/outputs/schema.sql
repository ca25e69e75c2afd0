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
-- A list is the union over `archived` and `hidden`, each read in order: of the workspace, of an agent, a type, a state.
CREATE INDEX ON outputs (workspace, archived, hidden, created_at, id);
CREATE INDEX ON outputs (workspace, agent_id, archived, hidden, created_at, id);
CREATE INDEX ON outputs (workspace, output_type, archived, hidden, created_at, id);
CREATE INDEX ON outputs (workspace, status, archived, hidden, created_at, id);
CREATE INDEX ON outputs (task_id);
ALTER TABLE outputs ADD PRIMARY KEY (id);
