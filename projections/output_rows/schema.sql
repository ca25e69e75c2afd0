CREATE TABLE output_rows (
    -- Compared byte by byte, so that the primary key has the rows of an output in their order.
    id        text COLLATE "C" NOT NULL,
    workspace text NOT NULL,
    position  bigint NOT NULL,
    version   bigint NOT NULL,
    doc       text NOT NULL
);
-- indexes
ALTER TABLE output_rows ADD PRIMARY KEY (id);
