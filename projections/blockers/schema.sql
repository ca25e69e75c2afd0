CREATE TABLE blockers (
    id         uuid NOT NULL,
    workspace  text NOT NULL,
    position   bigint NOT NULL,
    version    bigint NOT NULL,
    doc        text NOT NULL,
    task_id    uuid NOT NULL,
    agent_id   uuid NOT NULL,
    kind       text NOT NULL,
    open       boolean NOT NULL,
    created_at timestamptz NOT NULL
) WITH (fillfactor = 70, toast_tuple_target = 8160);
-- indexes
CREATE INDEX ON blockers (task_id);
-- The inbox: of the workspace, of a kind, of an agent.
CREATE INDEX ON blockers (workspace, created_at, id) WHERE open;
CREATE INDEX ON blockers (workspace, kind, created_at, id) WHERE open;
CREATE INDEX ON blockers (workspace, agent_id, created_at, id) WHERE open;
ALTER TABLE blockers ADD PRIMARY KEY (id);
