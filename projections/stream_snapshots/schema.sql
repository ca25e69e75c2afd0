CREATE TABLE stream_snapshots (
    id        text NOT NULL,
    workspace text NOT NULL,
    position  bigint NOT NULL,
    version   bigint NOT NULL,
    doc       text NOT NULL,
    open      boolean NOT NULL
) WITH (fillfactor = 70, toast_tuple_target = 8160);
-- indexes
ALTER TABLE stream_snapshots ADD PRIMARY KEY (id);
CREATE INDEX ON stream_snapshots (id) WHERE open;
