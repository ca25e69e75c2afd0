CREATE TABLE applied_keys (
    id        uuid NOT NULL,
    workspace text NOT NULL,
    position  bigint NOT NULL,
    version   bigint NOT NULL,
    doc       text NOT NULL
);
-- indexes
ALTER TABLE applied_keys ADD PRIMARY KEY (id);
