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
    parent_task_id uuid,
    source_output_id text,
    archived       boolean NOT NULL,
    waiting_reason text,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    -- Hours since 1970 of `updated_at`, which changes too often for an index.
    updated_hour   bigint NOT NULL,
    -- The position, of a task whose texts or labels were changed after its acceptance.
    reworded_at    bigint,
    -- Last, since it ends with the keys of commands, which change seldom: an update is recorded up to what is equal at the end.
    doc            text NOT NULL
) WITH (fillfactor = 70, toast_tuple_target = 8160);
-- Written once, so pages are filled. `reduced` is the part that the engine starts with,
-- unless the whole is short. `position` is that of the commit it was read from.
CREATE TABLE acceptances (
    id       uuid NOT NULL,
    position bigint NOT NULL,
    doc      text NOT NULL,
    reduced  text
) WITH (toast_tuple_target = 8160);
-- The number of tasks of each agent and state, kept by the triggers below.
CREATE TABLE task_counts (
    agent_id  uuid NOT NULL,
    workspace text NOT NULL,
    state     text NOT NULL,
    counted   bigint NOT NULL
) WITH (fillfactor = 50);
CREATE VIEW counted_tasks AS
    SELECT agent_id, workspace, state, count(*) AS counted FROM tasks GROUP BY agent_id, workspace, state;
-- The index of texts and labels, in blocks of tasks, filled behind the rows. A block has the tasks up to a position, and the times at
-- which they were created.
CREATE TABLE search_blocks (
    block    integer PRIMARY KEY,
    position bigint NOT NULL,
    oldest   timestamptz NOT NULL,
    newest   timestamptz NOT NULL
);
-- Its tasks, 64 in a row.
CREATE TABLE search_ids (
    block integer NOT NULL,
    part  integer NOT NULL,
    ids   uuid[] NOT NULL,
    PRIMARY KEY (block, part)
);
-- The grams that occur in them, sorted: each row begins with one of them.
CREATE TABLE search_pages (
    block integer NOT NULL,
    first bigint NOT NULL,
    page  bytea NOT NULL,
    PRIMARY KEY (block, first)
);
-- indexes
-- A list is the union over states and `archived`, each read in order: of the workspace, of an agent.
CREATE INDEX ON tasks (workspace, state, archived, created_at, id);
CREATE INDEX ON tasks (workspace, agent_id, state, archived, created_at, id);
-- Changed in a span of time. Equal keys share an entry.
CREATE INDEX ON tasks (workspace, updated_hour);
-- Lists by what few tasks have, with those only.
CREATE INDEX ON tasks (workspace, priority, archived, created_at, id) WHERE priority <> 'normal';
CREATE INDEX ON tasks (workspace, label, archived, created_at, id) WHERE label IS NOT NULL;
CREATE INDEX ON tasks (parent_task_id, created_at, id) WHERE parent_task_id IS NOT NULL;
CREATE INDEX ON tasks (workspace, source_output_id, archived, created_at, id) WHERE source_output_id IS NOT NULL;
CREATE INDEX ON tasks (workspace, waiting_reason, archived, created_at, id) WHERE waiting_reason IS NOT NULL;
-- The start of an engine, and of an archiver.
CREATE INDEX ON tasks (id) WHERE open;
CREATE INDEX ON tasks (id) WHERE unsettled;
-- What the index of texts and labels does not have yet.
CREATE INDEX ON acceptances (position);
CREATE INDEX ON tasks (reworded_at) WHERE reworded_at IS NOT NULL;
ALTER TABLE tasks ADD PRIMARY KEY (id);
ALTER TABLE acceptances ADD PRIMARY KEY (id);
-- sums
ALTER TABLE task_counts ADD PRIMARY KEY (workspace, agent_id, state);
INSERT INTO task_counts TABLE counted_tasks;
-- By statement, not by row: a batch of the projector is one of each kind.
CREATE FUNCTION count_tasks() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO task_counts AS c
            SELECT agent_id, workspace, state, count(*) FROM new_rows GROUP BY agent_id, workspace, state
            ON CONFLICT (workspace, agent_id, state) DO UPDATE SET counted = c.counted + excluded.counted;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO task_counts AS c
            SELECT agent_id, workspace, state, sum(one) FROM
                (SELECT agent_id, workspace, state, 1 AS one FROM new_rows
                 UNION ALL SELECT agent_id, workspace, state, -1 FROM old_rows) changes
            GROUP BY agent_id, workspace, state HAVING sum(one) <> 0
            ON CONFLICT (workspace, agent_id, state) DO UPDATE SET counted = c.counted + excluded.counted;
    ELSE
        INSERT INTO task_counts AS c
            SELECT agent_id, workspace, state, -count(*) FROM old_rows GROUP BY agent_id, workspace, state
            ON CONFLICT (workspace, agent_id, state) DO UPDATE SET counted = c.counted + excluded.counted;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER count_new AFTER INSERT ON tasks REFERENCING NEW TABLE AS new_rows EXECUTE FUNCTION count_tasks();
CREATE TRIGGER count_changed AFTER UPDATE ON tasks
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows EXECUTE FUNCTION count_tasks();
CREATE TRIGGER count_removed AFTER DELETE ON tasks REFERENCING OLD TABLE AS old_rows EXECUTE FUNCTION count_tasks();
