"""Capstan: `capstan dev` and, to execute, a worker of its own that does nothing."""

import json

from ..program import Program, answers, free_port
from .running import Running, submission, wait

#: Attempts of the worker at once; tasks of a class do not wait for each other, as they do nowhere else here.
SLOTS = 256


class Capstan:
    name = "capstan"

    def __init__(self, scratch, tools):
        self.scratch, self.tools = scratch, tools

    def start(self, keep, durability, execute):
        folder = self.scratch.fresh(self.name)
        address = f"127.0.0.1:{free_port()}"
        url = f"http://{address}"
        command = [
            self.tools.capstan, "dev", "--no-worker", "--data-dir", folder / "dev", "--http", address,
            "--durability", durability, "--class-concurrency", SLOTS,
        ]
        server = keep(Program("capstan dev", command, folder / "dev.log"))
        server.wait_for(lambda: answers(f"{url}/readyz"))
        started = json.loads((folder / "dev/run.json").read_text())
        processes = {
            "capstan": server.pid, "nats-server": started["nats_pid"], "Postgres": started["postgres_pid"],
        }
        if execute:
            command = [self.tools.capstan, "bench", "worker", "--url", url, "--slots", SLOTS]
            processes["worker"] = keep(Program("its worker", command, folder / "worker.log")).pid
        workspace = f"{url}/v1/workspaces/dev"
        task = f"{workspace}/tasks/{{ref}}"
        follow = [
            "--follow", f"{workspace}/stream?types=task-done", "--end-event", "task-done", "--end-reference", "/id",
        ]
        return Running(
            self.tools.load_generator,
            processes,
            submission(f"{workspace}/tasks", '{"agent_id":"demo","message":"{id} {pad}"}', "/task/id"),
            wait(f"{task}?min_position={{position}}&wait_ms=20000", '"state":"done"') + follow,
            wait(task, '"state":"done"'),
        )
