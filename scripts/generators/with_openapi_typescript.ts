// One round trip with the types of openapi-typescript and the client openapi-fetch.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./generated/openapi-typescript";

const workspace = "dev";
const client = createClient<paths>({ baseUrl: process.env.CAPSTAN_URL ?? "" });

async function main() {
  const created = await client.POST("/v1/workspaces/{workspace}/agents", {
    params: { path: { workspace } },
    body: { agent_key: "openapi-typescript", name: "Writer" },
  });
  assert.equal(created.response.status, 201);
  const accepted = await client.POST("/v1/workspaces/{workspace}/tasks", {
    params: { path: { workspace } },
    body: { agent_id: "openapi-typescript", message: "work", priority: "high" },
  });
  const reply: components["schemas"]["TaskReply"] | undefined = accepted.data;
  assert(reply?.task);
  const read = await client.GET("/v1/workspaces/{workspace}/tasks/{task_id}", {
    params: { path: { workspace, task_id: reply.task.id }, query: { min_position: reply.receipt.position } },
  });
  const state: components["schemas"]["TaskState"] | undefined = read.data?.state;
  assert.equal(state, "queued");
  const listed = await client.GET("/v1/workspaces/{workspace}/tasks", {
    params: { path: { workspace }, query: { state: ["queued"], count: true } },
  });
  const page: components["schemas"]["TaskPage"] | undefined = listed.data;
  assert(page?.items.some((task) => task.id === reply.task?.id) && page.total !== undefined);
  const refused = await client.POST("/v1/workspaces/{workspace}/tasks", {
    params: { path: { workspace } },
    body: { agent_id: "openapi-typescript", message: "" },
  });
  const problem: components["schemas"]["Problem"] | undefined = refused.error;
  assert.equal(problem?.code, "validation_failed");
  const batch: components["schemas"]["Batch"] = [{ type: "cancel-task", task_id: reply.task.id }];
  const answers = await client.POST("/v1/workspaces/{workspace}/commands", { params: { path: { workspace } }, body: batch });
  assert.equal(answers.data?.[0]?.status, 202);
}

void main();
