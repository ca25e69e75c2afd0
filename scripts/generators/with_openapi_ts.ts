// One round trip with the client of @hey-api/openapi-ts.
import assert from "node:assert/strict";
import { client } from "./generated/openapi-ts/client.gen";
import { acceptAgentCommand, createAgent, executeBatch, getTask, listTasks } from "./generated/openapi-ts";
import type { Problem, TaskPage, TaskReply, TaskState } from "./generated/openapi-ts";

const path = { workspace: "dev" };
client.setConfig({ baseUrl: process.env.CAPSTAN_URL });

async function main() {
  const created = await createAgent({ path, body: { agent_key: "openapi-ts", name: "Writer" } });
  assert.equal(created.response?.status, 201);
  const accepted = await acceptAgentCommand({ path, body: { agent_id: "openapi-ts", message: "work", priority: "high" } });
  const reply: TaskReply | undefined = accepted.data;
  assert(reply?.task);
  const query = { min_position: reply.receipt.position };
  const read = await getTask({ path: { ...path, task_id: reply.task.id }, query });
  const state: TaskState | undefined = read.data?.state;
  assert.equal(state, "queued");
  const listed = await listTasks({ path, query: { state: ["queued"], count: true } });
  const page: TaskPage | undefined = listed.data;
  assert(page?.items.some((task) => task.id === reply.task?.id) && page.total !== undefined);
  const refused = await acceptAgentCommand({ path, body: { agent_id: "openapi-ts", message: "" } });
  const problem: Problem | undefined = refused.error;
  assert.equal(problem?.code, "validation_failed");
  const answers = await executeBatch({ path, body: [{ type: "cancel-task", task_id: reply.task.id }] });
  assert.equal(answers.data?.[0]?.status, 202);
}

void main();
