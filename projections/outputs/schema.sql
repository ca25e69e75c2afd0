CREATE TABLE outputs (
    id         uuid NOT NULL,
    workspace  text NOT NULL,
    position   bigint NOT NULL,
    version    bigint NOT NULL,
    doc        text NOT NULL,
    task_id    uuid NOT NULL,
    status     text NOT NULL,
    created_at timestamptz NOT NULL
) WITH (fillfactor = 70, toast_tuple_target = 8160);
-- indexes
ALTER TABLE outputs ADD PRIMARY KEY (id);
CREATE INDEX ON outputs (workspace, created_at, id);
CREATE INDEX ON outputs (task_id);
