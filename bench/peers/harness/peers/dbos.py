"""DBOS for Rust on Postgres, behind a thin HTTP server."""

import subprocess
import time

from .. import postgres
from ..program import Program, free_port
from .running import ANY_BODY, Running, submission, wait

#: DBOS looks at a queue once a second at first and shortens that by a tenth each time, down to the interval it was given.
SPEEDING_UP_SECONDS = 12


class Dbos:
    name = "dbos"

    def __init__(self, scratch, tools):
        self.scratch, self.tools = scratch, tools

    def start(self, keep, durability, execute):
        always = durability == "always"
        database, database_url = postgres.start(keep, self.scratch, self.tools.postgres, flush_commits=always)
        binary = self.tools.built / "peer-dbos-front"
        connection = ["--database-url", database_url]
        subprocess.run([binary, "prepare", *connection], check=True, timeout=60, stdout=subprocess.DEVNULL)
        address = f"127.0.0.1:{free_port()}"
        command = [binary, "serve", "--http", address, *connection]
        front = keep(Program("the front", command, self.scratch.data / "dbos-front.log"))
        front.wait_for_line("ready")
        processes = {"front": front.pid, "Postgres": database.pid}
        if execute:
            worker = keep(Program("the worker", [binary, "worker", *connection], self.scratch.data / "dbos-worker.log"))
            worker.wait_for_line("ready")
            processes["worker"] = worker.pid
            time.sleep(SPEEDING_UP_SECONDS)
        tasks = f"http://{address}/tasks"
        result = wait(f"{tasks}/{{ref}}")
        return Running(self.tools.load_generator, processes, submission(tasks, ANY_BODY), result, result)
