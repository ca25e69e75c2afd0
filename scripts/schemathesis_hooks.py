"""Hooks of schemathesis for Capstan; scripts/schemathesis.sh loads them.

Generated ids are answered with 404 only, so most cases use existing entities, renewed regularly because cases end them.
Generated positions are refused, so most cases wait for the beginning of the log.
"""

import hashlib
import itertools
import os
import pathlib
import sys
import threading

import schemathesis

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from parity import W, Caller, Scene, find

# Calls between renewals of the entities; one call in MADE_UP keeps its generated ids.
FRESH_EVERY, MADE_UP = 60, 5
# One call in REFUSED keeps its generated position; the longest wait of a call, in milliseconds.
REFUSED, WAIT_MS = 10, 20


# The workspace whose settings are changed; in "dev" a generated quota would stop all other cases.
CHANGED = "changed"


class Things(Scene):
    """The entities that replace the parameters of a path."""

    def __init__(self, capstan):
        super().__init__(capstan)
        capstan.must("POST", "/v1/workspaces", {"workspace": CHANGED})
        self.lock = threading.Lock()
        self.calls = itertools.count()
        self.made = {}

    def make(self):
        task, _ = self.task()
        output = {"name": self.fresh("out"), "output_type": "report", "title": "A title"}
        output = self.capstan.must("POST", f"{W}/tasks/{task}/outputs", output)
        instance = "execclass_" + hashlib.sha256(self.fresh("class").encode()).hexdigest()[:32]
        self.capstan.must("PUT", f"{W}/classes/{instance}", {"desired_dispatch_concurrency": 3})
        token = self.capstan.must("POST", f"{W}/tokens", {"name": instance, "scopes": ["read"]})
        # The previous worker may have been drained, and holds its leases.
        self.worker = self.register()
        made = {
            "workspace": "dev", "worker_id": self.worker, "task_id": task, "run_id": self.run(), "agent_id": self.agent(),
            "schedule_id": self.schedule(), "channel_type": "email", "address": self.channel(), "instance_key": instance,
            "output_id": find(output, "output_id"), "token_id": find(token["token"], "id"), "code": "not_found",
        }
        self.end_attempt()
        lease = self.capstan.must("POST", f"/v1/workers/{self.worker}/lease", {"max": 1, "wait_ms": 500})
        if lease:
            self.made_lease(made, lease[0])
        return made

    def end_attempt(self):
        """Finishes the last attempt, so that its class has room for the next. A case may have ended it already."""
        if "attempt_id" in self.made:
            headers = {"Capstan-Lease-Epoch": self.made["epoch"]}
            self.capstan.call("POST", f"/v1/attempts/{self.made['attempt_id']}/finish", {"outcome": "ok"}, headers)

    def made_lease(self, made, lease):
        """A running attempt with an unclaimed input."""
        headers = {"Capstan-Lease-Epoch": str(lease["epoch"])}
        attempt = f"/v1/attempts/{lease['attempt_id']}"
        # A case may have created the task in another workspace, and workers of an open server serve all of them.
        workspace = lease["attempt_id"].split(".")[0]
        task = f"/v1/workspaces/{workspace}/tasks/{lease['task_id']}"
        said = self.capstan.must("POST", f"{task}/input", {"message": "more"})
        made.update(attempt_id=lease["attempt_id"], epoch=str(lease["epoch"]), input_id=said["input_id"])

    def now(self):
        """The entities of this call; empty when it keeps its generated values."""
        with self.lock:
            number = next(self.calls)
            if number % FRESH_EVERY == 0:
                self.made = self.make()
            return number, ({} if number % MADE_UP == 0 else self.made)


THINGS = Things(Caller(os.environ["CAPSTAN_URL"]))


def number_of(value):
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None


@schemathesis.hook
def before_call(context, case, kwargs):
    number, things = THINGS.now()
    if things:
        things = dict(things, name="create-agent" if case.path.startswith("/schemas") else "read-models")
    if case.path == "/v1/workspaces/{workspace}" and case.method == "PATCH":
        case.path_parameters["workspace"] = CHANGED
        things = {}
    for name in case.path_parameters or {}:
        if name in things:
            case.path_parameters[name] = things[name]
    if "attempt_id" in (case.path_parameters or {}) and "epoch" in things:
        case.headers["Capstan-Lease-Epoch"] = things["epoch"]
    query = case.query or {}
    for given in (query, case.body):
        if isinstance(given, dict) and (number_of(given.get("wait_ms")) or 0) > WAIT_MS:
            given["wait_ms"] = WAIT_MS
    for given, name in ((query, "min_position"), (case.headers, "Capstan-Min-Position"), (case.headers, "Capstan-Position")):
        if name in (given or {}):
            query["wait_ms"] = WAIT_MS
            if number % REFUSED:
                given[name] = "0"
    case.query = query
