CREATE TABLE inputs (
    id        uuid NOT NULL,
    workspace text NOT NULL,
    position  bigint NOT NULL,
    version   bigint NOT NULL,
    doc       text NOT NULL,
    task_id   uuid NOT NULL,
    seq       bigint NOT NULL
) WITH (fillfactor = 70, toast_tuple_target = 8160);
-- indexes
CREATE INDEX ON inputs (task_id, seq);
ALTER TABLE inputs ADD PRIMARY KEY (id);
