CREATE TABLE runs (
    id         uuid NOT NULL,
    workspace  text NOT NULL,
    position   bigint NOT NULL,
    version    bigint NOT NULL,
    doc        text NOT NULL,
    task_id    uuid NOT NULL,
    agent_id   uuid NOT NULL,
    session_id text NOT NULL,
    status     text NOT NULL,
    ok_ms      bigint,
    cost_usd   double precision NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    -- Hours since 1970 of `updated_at`, which changes too often for an index.
    updated_hour bigint NOT NULL
) WITH (fillfactor = 70, toast_tuple_target = 8160);
-- The successful runs of each agent and the cost of all, kept by the triggers below. Decimal, so that the order of adding decides nothing.
CREATE TABLE run_counts (
    agent_id  uuid NOT NULL,
    workspace text NOT NULL,
    counted   bigint NOT NULL,
    ok        bigint NOT NULL,
    ok_ms     bigint NOT NULL,
    cost_usd  numeric NOT NULL
) WITH (fillfactor = 50);
CREATE VIEW counted_runs AS
    SELECT agent_id, workspace, count(*) AS counted, count(ok_ms) AS ok, coalesce(sum(ok_ms), 0)::bigint AS ok_ms,
           trim_scale(sum(cost_usd::numeric)) AS cost_usd
    FROM runs GROUP BY agent_id, workspace;
-- indexes
-- A list is the union over states, each read in order: of the workspace, of an agent.
CREATE INDEX ON runs (workspace, status, created_at, id);
CREATE INDEX ON runs (workspace, agent_id, status, created_at, id);
CREATE INDEX ON runs (task_id, created_at, id);
-- By session. A hash of it, because it is most often as long as the rest of the entry.
CREATE INDEX ON runs (hashtextextended(session_id, 0), created_at, id);
-- Changed in a span of time. Equal keys share an entry.
CREATE INDEX ON runs (workspace, updated_hour);
ALTER TABLE runs ADD PRIMARY KEY (id);
-- sums
ALTER TABLE run_counts ADD PRIMARY KEY (workspace, agent_id);
INSERT INTO run_counts TABLE counted_runs;
CREATE FUNCTION count_runs() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO run_counts AS c
            SELECT agent_id, workspace, count(*), count(ok_ms), coalesce(sum(ok_ms), 0), trim_scale(sum(cost_usd::numeric))
            FROM new_rows GROUP BY agent_id, workspace
            ON CONFLICT (workspace, agent_id) DO UPDATE SET counted = c.counted + excluded.counted, ok = c.ok + excluded.ok,
                ok_ms = c.ok_ms + excluded.ok_ms, cost_usd = trim_scale(c.cost_usd + excluded.cost_usd);
    ELSE
        -- A row that is removed counts as one that changes to nothing.
        IF TG_OP = 'DELETE' THEN
            UPDATE run_counts c SET counted = c.counted - o.counted, ok = c.ok - o.ok, ok_ms = c.ok_ms - o.ok_ms,
                   cost_usd = trim_scale(c.cost_usd - o.cost_usd)
            FROM (SELECT workspace, agent_id, count(*) AS counted, count(ok_ms) AS ok, coalesce(sum(ok_ms), 0) AS ok_ms,
                         sum(cost_usd::numeric) AS cost_usd FROM old_rows GROUP BY workspace, agent_id) o
            WHERE c.workspace = o.workspace AND c.agent_id = o.agent_id;
            RETURN NULL;
        END IF;
        UPDATE run_counts c SET ok = c.ok + d.ok, ok_ms = c.ok_ms + d.ok_ms, cost_usd = trim_scale(c.cost_usd + d.cost_usd)
        FROM (SELECT workspace, agent_id, sum(ok)::bigint AS ok, sum(ok_ms)::bigint AS ok_ms, sum(cost_usd) AS cost_usd FROM
                  (SELECT workspace, agent_id, (ok_ms IS NOT NULL)::int AS ok, coalesce(ok_ms, 0) AS ok_ms, cost_usd::numeric FROM new_rows
                   UNION ALL
                   SELECT workspace, agent_id, -(ok_ms IS NOT NULL)::int, -coalesce(ok_ms, 0), -cost_usd::numeric FROM old_rows) changes
              GROUP BY workspace, agent_id) d
        WHERE c.workspace = d.workspace AND c.agent_id = d.agent_id AND (d.ok, d.ok_ms, d.cost_usd) <> (0, 0, 0);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER count_new AFTER INSERT ON runs REFERENCING NEW TABLE AS new_rows EXECUTE FUNCTION count_runs();
CREATE TRIGGER count_changed AFTER UPDATE ON runs
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows EXECUTE FUNCTION count_runs();
CREATE TRIGGER count_removed AFTER DELETE ON runs REFERENCING OLD TABLE AS old_rows EXECUTE FUNCTION count_runs();
