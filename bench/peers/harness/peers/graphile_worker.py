"""graphile-worker on Postgres, behind a thin HTTP server of node."""

from .. import postgres
from ..program import Program, free_port
from .running import ANY_BODY, Running, submission, wait


class GraphileWorker:
    name = "graphile-worker"

    def __init__(self, scratch, tools):
        self.scratch, self.tools = scratch, tools

    def start(self, keep, durability, execute):
        always = durability == "always"
        database, database_url = postgres.start(keep, self.scratch, self.tools.postgres, flush_commits=always)
        port = free_port()
        node = self.tools.node()
        command = [node, self.tools.npm / "front.mjs", port, database_url]
        front = keep(Program("the front", command, self.scratch.data / "graphile-front.log"))
        front.wait_for_line("ready")
        processes = {"front": front.pid, "Postgres": database.pid}
        if execute:
            command = [node, self.tools.npm / "worker.mjs", database_url]
            worker = keep(Program("the worker", command, self.scratch.data / "graphile-worker.log"))
            worker.wait_for_line("ready")
            processes["worker"] = worker.pid
        tasks = f"http://127.0.0.1:{port}/tasks"
        result = wait(f"{tasks}/{{ref}}")
        return Running(self.tools.load_generator, processes, submission(tasks, ANY_BODY), result, result)
