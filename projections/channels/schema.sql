CREATE TABLE channels (
    id           uuid NOT NULL,
    workspace    text NOT NULL,
    position     bigint NOT NULL,
    version      bigint NOT NULL,
    doc          text NOT NULL,
    channel_type text NOT NULL,
    address      text NOT NULL,
    agent_id     uuid,
    active       boolean NOT NULL,
    created_at   timestamptz NOT NULL
) WITH (fillfactor = 70, toast_tuple_target = 8160);
-- indexes
CREATE INDEX ON channels (workspace, created_at, id);
CREATE INDEX ON channels (agent_id) WHERE agent_id IS NOT NULL;
ALTER TABLE channels ADD PRIMARY KEY (id);
