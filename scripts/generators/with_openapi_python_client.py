"""One round trip with the client of openapi-python-client."""

import os

from openapi_python_client_generated.api.agents import create_agent
from openapi_python_client_generated.api.commands import execute_batch
from openapi_python_client_generated.api.tasks import accept_agent_command, get_task, list_tasks
from openapi_python_client_generated.client import Client
from openapi_python_client_generated.models import (
    AcceptAgentCommand,
    CancelTaskItem,
    CreateAgent,
    Problem,
    ProblemCode,
    Task,
    TaskPage,
    TaskReply,
    TaskState,
)

client = Client(base_url=os.environ["CAPSTAN_URL"])
KEY = "openapi-python-client"

created = create_agent.sync_detailed("dev", client=client, body=CreateAgent(agent_key=KEY, name="Writer"))
assert created.status_code == 201, created
reply = accept_agent_command.sync("dev", client=client, body=AcceptAgentCommand(agent_id=KEY, message="work"))
assert isinstance(reply, TaskReply) and isinstance(reply.task, Task), reply
task = get_task.sync("dev", reply.task.id, client=client, min_position=reply.receipt.position)
assert isinstance(task, Task) and task.state == TaskState.QUEUED, task
page = list_tasks.sync("dev", client=client, count=True)
assert isinstance(page, TaskPage) and task.id in [one.id for one in page.items], page
assert isinstance(page.total, int), page
problem = accept_agent_command.sync("dev", client=client, body=AcceptAgentCommand(agent_id=KEY, message=""))
assert isinstance(problem, Problem) and problem.code == ProblemCode.VALIDATION_FAILED, problem
answers = execute_batch.sync("dev", client=client, body=[CancelTaskItem(type_="cancel-task", task_id=task.id)])
assert isinstance(answers, list) and answers[0].status == 202, answers
