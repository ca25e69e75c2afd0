CREATE TABLE tasks (
    id             uuid NOT NULL,
    workspace      text NOT NULL,
    position       bigint NOT NULL,
    version        bigint NOT NULL,
    agent_id       uuid NOT NULL,
    state          text NOT NULL,
    open           boolean NOT NULL,
    unsettled      boolean NOT NULL,
    priority       text NOT NULL,
    label          text,
    labels         text NOT NULL,
    parent_task_id uuid,
    source_output_id text,
    archived       boolean NOT NULL,
    waiting_reason text,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    -- Last, since it ends with the keys of commands, which change seldom: an update is recorded up to what is equal at the end.
    doc            text NOT NULL
) WITH (fillfactor = 70, toast_tuple_target = 8160);
-- Written once, so pages are filled. `reduced` is the part that the engine starts with,
-- unless the whole is short.
CREATE TABLE acceptances (
    id      uuid NOT NULL,
    doc     text NOT NULL,
    reduced text
) WITH (toast_tuple_target = 8160);
-- indexes
-- No index on a column that changes with every event: it would prevent updates in place. `open` changes rarely.
CREATE INDEX ON tasks (workspace, created_at, id);
CREATE INDEX ON tasks (workspace, created_at, id) WHERE open;
CREATE INDEX ON tasks (id) WHERE unsettled;
CREATE INDEX ON tasks (agent_id, created_at, id);
CREATE INDEX ON tasks (parent_task_id) WHERE parent_task_id IS NOT NULL;
ALTER TABLE tasks ADD PRIMARY KEY (id);
ALTER TABLE acceptances ADD PRIMARY KEY (id);
