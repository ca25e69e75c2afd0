"""Restate: its server with a service of one handler that does nothing."""

import json

from ..program import Program, answers, free_port, listens
from .running import ANY_BODY, Running, submission, wait

#: Restate flushes its log before it acknowledges, unless this is set; then it leaves flushing to the kernel.
WITHOUT_FLUSHES = {"RESTATE_LOG_SERVER__ROCKSDB_DISABLE_WAL_FSYNC": "true"}


class Restate:
    name = "restate"

    def __init__(self, scratch, tools):
        self.scratch, self.tools = scratch, tools

    def start(self, keep, durability, execute):
        folder = self.scratch.fresh(self.name)
        ingress, admin, internal, service = (free_port() for _ in range(4))
        command = [self.tools.built / "peer-restate-service", f"127.0.0.1:{service}"]
        handler = keep(Program("the service", command, folder / "service.log"))
        handler.wait_for(lambda: listens(service))
        environment = {
            "RESTATE_ADMIN__BIND_PORT": str(admin),
            "RESTATE_ADMIN__DISABLE_WEB_UI": "true",
            "RESTATE_BASE_DIR": str(folder / "data"),
            "RESTATE_BIND_IP": "127.0.0.1",
            "RESTATE_BIND_PORT": str(internal),
            "RESTATE_DISABLE_TELEMETRY": "true",
            "RESTATE_INGRESS__BIND_PORT": str(ingress),
            "RESTATE_LISTEN_MODE": "tcp",
            "RESTATE_LOG_FILTER": "warn",
            **(WITHOUT_FLUSHES if durability == "interval" else {}),
        }
        server = keep(Program("Restate", [self.tools.restate, "--no-logo"], folder / "server.log", environment))
        server.wait_for(lambda: answers(f"http://127.0.0.1:{admin}/health"))
        deployment = json.dumps({"uri": f"http://127.0.0.1:{service}"}).encode()
        headers = {"content-type": "application/json"}
        server.wait_for(lambda: answers(f"http://127.0.0.1:{admin}/deployments", deployment, headers))
        url = f"http://127.0.0.1:{ingress}"
        # Nothing executes while submissions are counted: they are due in an hour.
        delay = "" if execute else "?delay=1h"
        result = wait(f"{url}/restate/invocation/{{ref}}/attach")
        return Running(
            self.tools.load_generator,
            {"Restate": server.pid, "service": handler.pid},
            submission(f"{url}/Bench/noop/send{delay}", ANY_BODY, "/invocationId"),
            result,
            result,
        )
