"""The floor: the thinnest server on Capstan's stack that keeps the promises of its accept path."""

from .. import nats_server, postgres
from ..program import Program, free_port
from .running import Running, submission, wait

#: Milliseconds for which the projector gathers: longer saves processor time, shorter shows results sooner.
GATHER_MS = {False: 5, True: 1}


class Floor:
    name = "floor"

    def __init__(self, scratch, tools):
        self.scratch, self.tools = scratch, tools

    def start(self, keep, durability, execute):
        nats, nats_url = nats_server.start(keep, self.scratch, self.tools.nats_server, durability)
        database, database_url = postgres.start(keep, self.scratch, self.tools.postgres)
        address = f"127.0.0.1:{free_port()}"
        binary = self.tools.built / "peer-floor"
        command = [
            binary, "serve", "--http", address, "--nats-url", nats_url, "--database-url", database_url,
            "--gather-ms", GATHER_MS[execute],
        ]
        if durability == "always":
            command.append("--group-commit")
        server = keep(Program("the floor", command, self.scratch.data / "floor.log"))
        server.wait_for_line("ready")
        processes = {"floor": server.pid, "nats-server": nats.pid, "Postgres": database.pid}
        if execute:
            command = [binary, "worker", "--server", address]
            processes["worker"] = keep(Program("its worker", command, self.scratch.data / "floor-worker.log")).pid
        tasks = f"http://{address}/v1/workspaces/dev/tasks"
        result = wait(f"{tasks}/{{ref}}")
        return Running(
            self.tools.load_generator,
            processes,
            submission(tasks, '{"agent_id":"demo","message":"{id} {pad}"}', "/task/id"),
            result,
            result,
        )
