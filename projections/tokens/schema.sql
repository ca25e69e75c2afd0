CREATE TABLE tokens (
    id         uuid NOT NULL,
    workspace  text NOT NULL,
    position   bigint NOT NULL,
    version    bigint NOT NULL,
    doc        text NOT NULL,
    revoked    boolean NOT NULL,
    created_at timestamptz NOT NULL
) WITH (fillfactor = 70);
-- indexes
CREATE INDEX ON tokens (workspace, created_at, id);
ALTER TABLE tokens ADD PRIMARY KEY (id);
