CREATE TABLE spending (
    id         text NOT NULL,
    workspace  text NOT NULL,
    position   bigint NOT NULL,
    version    bigint NOT NULL,
    doc        text NOT NULL,
    agent_id   uuid,
    day        text,
    created_at timestamptz NOT NULL
) WITH (fillfactor = 70, toast_tuple_target = 8160);
-- indexes
CREATE INDEX ON spending (workspace, created_at, id);
CREATE INDEX ON spending (day);
ALTER TABLE spending ADD PRIMARY KEY (id);
