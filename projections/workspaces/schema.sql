CREATE TABLE workspaces (
    id         text NOT NULL,
    workspace  text NOT NULL,
    position   bigint NOT NULL,
    version    bigint NOT NULL,
    doc        text NOT NULL,
    created_at timestamptz NOT NULL
) WITH (fillfactor = 70);
-- indexes
ALTER TABLE workspaces ADD PRIMARY KEY (id);
