CREATE TABLE classes (
    id         uuid NOT NULL,
    workspace  text NOT NULL,
    position   bigint NOT NULL,
    version    bigint NOT NULL,
    doc        text NOT NULL,
    created_at timestamptz NOT NULL
) WITH (fillfactor = 70, toast_tuple_target = 8160);
-- indexes
CREATE INDEX ON classes (workspace, created_at, id);
ALTER TABLE classes ADD PRIMARY KEY (id);
