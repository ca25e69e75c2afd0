// One round trip with the client of orval.
import assert from "node:assert/strict";
import { acceptAgentCommand, createAgent, executeBatch, getTask, listTasks } from "./generated/orval/capstan";
import type { Problem, TaskPage, TaskState } from "./generated/orval/model";

async function main() {
  const created = await createAgent("dev", { agent_key: "orval", name: "Writer" });
  assert.equal(created.status, 201);
  const accepted = await acceptAgentCommand("dev", { agent_id: "orval", message: "work", priority: "high" });
  assert(accepted.status === 202);
  const { receipt, task } = accepted.data;
  assert(task);
  const read = await getTask("dev", task.id, { min_position: receipt.position });
  assert(read.status === 200);
  const state: TaskState = read.data.state;
  assert.equal(state, "queued");
  const listed = await listTasks("dev", { state: ["queued"], count: true });
  assert(listed.status === 200);
  const page: TaskPage = listed.data;
  assert(page.items.some((one) => one.id === task.id) && page.total !== undefined);
  const refused = await acceptAgentCommand("dev", { agent_id: "orval", message: "" });
  assert(refused.status === 422);
  const problem: Problem = refused.data;
  assert.equal(problem.code, "validation_failed");
  const answers = await executeBatch("dev", [{ type: "cancel-task", task_id: task.id }]);
  assert(answers.status === 200);
  assert.equal(answers.data[0]?.status, 202);
}

void main();
