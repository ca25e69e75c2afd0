CREATE TABLE agents (
    id         uuid NOT NULL,
    workspace  text NOT NULL,
    position   bigint NOT NULL,
    version    bigint NOT NULL,
    doc        text NOT NULL,
    agent_key  text NOT NULL,
    active     boolean NOT NULL,
    key_form   text NOT NULL,
    name_form  text NOT NULL,
    created_at timestamptz NOT NULL
) WITH (fillfactor = 70, toast_tuple_target = 8160);
-- indexes
CREATE INDEX ON agents (workspace, created_at, id);
CREATE INDEX ON agents (workspace, agent_key);
CREATE INDEX ON agents (workspace, key_form);
CREATE INDEX ON agents (workspace, name_form);
ALTER TABLE agents ADD PRIMARY KEY (id);
