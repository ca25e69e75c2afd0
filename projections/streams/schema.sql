CREATE TABLE streams (
    id        text NOT NULL,
    workspace text NOT NULL,
    position  bigint NOT NULL,
    version   bigint NOT NULL,
    doc       text NOT NULL,
    open      boolean NOT NULL
) WITH (fillfactor = 70, toast_tuple_target = 8160);
-- indexes
CREATE INDEX ON streams (id) WHERE open;
ALTER TABLE streams ADD PRIMARY KEY (id);
