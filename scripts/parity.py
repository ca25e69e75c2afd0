#!/usr/bin/env python3
"""Calls every route of docs/parity.md on a fresh Capstan, and every subject if nats-py is installed.

    python3 scripts/parity.py target/debug/capstan

Starts `capstan dev` in a new folder on free ports, creates what the calls need, and stops it again. Prints one line per
call; the exit code is 1 when one of them fails.
"""

import asyncio
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

try:
    import nats
except ImportError:
    nats = None

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "parity.md"
ROW = re.compile(r"^\| (\w+) \| `(\w+) (\S+)` \| (?:`([\w-]+)`|–) \|")
W = "/v1/workspaces/dev"


def rows():
    found = [ROW.match(line) for line in PAGE.read_text().splitlines()]
    return [match.groups() for match in found if match]


class Caller:
    """Calls a running server."""

    def __init__(self, url):
        self.url = url.rstrip("/")

    def call(self, method, path, body=None, headers=None, first_line_only=False):
        """The status and the JSON of an answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.readline() if first_line_only else answer.read()
                return answer.status, (text.decode() if first_line_only else json.loads(text))
        except urllib.error.HTTPError as refused:
            return refused.code, json.loads(refused.read() or b"null")

    def must(self, *args, **more):
        status, answer = self.call(*args, **more)
        if status >= 400:
            raise SystemExit(f"{args[:2]} answered {status}: {answer}")
        return answer


class Capstan(Caller):
    """A server started by this script."""

    def __init__(self, binary):
        self.folder = tempfile.TemporaryDirectory(prefix="capstan-parity-")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        data = os.path.join(self.folder.name, "data")
        self.process = subprocess.Popen(
            [binary, "dev", "--data-dir", data, "--http", f"127.0.0.1:{port}", "--no-worker"],
            stdout=subprocess.PIPE, text=True,
        )
        for line in self.process.stdout:
            if line.startswith("ready "):
                super().__init__(line.split()[1])
                break
        else:
            raise SystemExit("capstan dev did not start")
        self.nats = json.loads(pathlib.Path(data, "run.json").read_text())

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)
        self.folder.cleanup()


def find(value, key):
    """The first text under this key, at any depth."""
    if isinstance(value, dict):
        if isinstance(value.get(key), str):
            return value[key]
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            found = find(one, key)
            if found:
                return found
    return None


class Scene:
    """The entities of the calls; a call that ends an entity gets its own."""

    def __init__(self, capstan):
        self.capstan = capstan
        self.number = 0
        self.worker = self.register()

    def register(self):
        body = {"name": "parity", "slots": 1000, "capabilities": {"network_isolation": True}}
        return find(self.capstan.must("POST", "/v1/workers", body), "worker_id")

    def fresh(self, word):
        self.number += 1
        return f"{word}-{self.number}"

    def agent(self):
        key = self.fresh("parity")
        self.capstan.must("POST", f"{W}/agents", {"agent_key": key, "name": key})
        return key

    def task(self):
        accepted = self.capstan.must("POST", f"{W}/tasks", {"agent_id": "demo", "message": self.fresh("say")})
        return accepted["task"]["id"], accepted["receipt"]["position"]

    def cancelled(self):
        task, _ = self.task()
        self.capstan.must("POST", f"{W}/tasks/{task}/cancel", {})
        return task

    def run(self):
        task, position = self.task()
        runs = self.capstan.must("GET", f"{W}/tasks/{task}/runs?min_position={position}&wait_ms=20000")
        return runs["items"][0]["id"]

    def schedule(self):
        body = {"agent_id": "demo", "cron_expr": "0 9 * * *", "prompt": self.fresh("say"), "source_view_id": "board"}
        return self.capstan.must("POST", f"{W}/schedules", body)["schedule"]["id"]

    def channel(self):
        address = self.fresh("parity") + "@example.org"
        self.capstan.must("PUT", f"{W}/channels/email/{address}", {"agent_id": "demo"})
        return address

    def bodies(self, name):
        """The values of the path's parameters, and the fields of the body."""
        make = {
            "AcceptAgentCommand": lambda: ({}, {"agent_id": "demo", "message": "hello"}),
            "SubmitTaskInput": lambda: ({"task_id": self.task()[0]}, {"message": "more"}),
            "EnqueueRunInput": lambda: ({"run_id": self.run()}, {"message": "more"}),
            "CancelTask": lambda: ({"task_id": self.task()[0]}, {}),
            "ArchiveTask": lambda: ({"task_id": self.task()[0]}, {}),
            "RetryTask": lambda: ({"task_id": self.cancelled()}, {}),
            "UpdateTask": lambda: ({"task_id": self.task()[0]}, {"priority": "high"}),
            "CancelRun": lambda: ({"run_id": self.run()}, {}),
            "CreateAgent": lambda: ({}, {"agent_key": self.fresh("made"), "name": "Made"}),
            "UpdateAgent": lambda: ({"agent_id": self.agent()}, {"name": "Renamed"}),
            "DeleteAgent": lambda: ({"agent_id": self.agent()}, {}),
            "UpsertChannelBinding": lambda: ({"channel_type": "email", "address": self.fresh("x") + "@example.org"}, {}),
            "DeleteChannelBinding": lambda: ({"channel_type": "email", "address": self.channel()}, {}),
            "CreateSchedule": lambda: ({}, {"agent_id": "demo", "cron_expr": "0 9 * * *", "prompt": "hello"}),
            "UpdateSchedule": lambda: ({"schedule_id": self.schedule()}, {"prompt": "hello again"}),
            "DeleteSchedule": lambda: ({"schedule_id": self.schedule()}, {}),
            "GetAgent": lambda: ({"agent_id": "demo"}, None),
            "GetAgentStats": lambda: ({"agent_id": "demo"}, None),
            "GetSchedule": lambda: ({"schedule_id": self.schedule()}, None),
        }.get(name)
        if make:
            return make()
        return None

    def of_read(self, path):
        names = re.findall(r"{(\w+)}", path)
        make = {"task_id": lambda: self.task()[0], "run_id": self.run, "agent_id": lambda: "demo"}
        return {name: make[name]() for name in names}, None


LISTS = {"source_output_id", "state", "status"}


def field(name, text):
    """A parameter of the query string as the field of a query in JSON."""
    return name, text.split(",") if name in LISTS else int(text) if text.isdigit() else text


async def ask(client, name, subject, parts, body, query):
    """Makes the call as a request on NATS."""
    given = dict(body or {}, **parts)
    if body is None:
        given.update(field(*pair.split("=")) for pair in query.split("&") if pair)
        given.update({"wait_ms": 20000})
    reply = await client.request(f"capstan.rpc.dev.{subject}", json.dumps(given).encode(), timeout=60)
    status = int((reply.headers or {}).get("Capstan-Status", 0))
    return status, json.loads(reply.data)


def nats_url(run):
    """The address of the nats-server in run.json."""
    texts = re.findall(r"nats://[^\"\s]+", json.dumps(run))
    return texts[0] if texts else None


async def walk(capstan):
    scene = Scene(capstan)
    failed = 0
    client = await nats.connect(nats_url(capstan.nats)) if nats else None
    for name, method, route, subject in rows():
        path, _, query = route.replace("W", W, 1).partition("?")
        ways = ["http"] + (["nats"] if subject and client else [])
        for way in ways:
            parts, body = scene.bodies(name) or scene.of_read(path)
            if way == "http":
                target = path
                for part, value in parts.items():
                    target = target.replace("{" + part + "}", value)
                is_stream = path.endswith("/stream")
                asked = query + ("&" if query else "") + ("after=0" if is_stream else "wait_ms=20000")
                head = capstan.must("GET", f"{W}/tasks?limit=1")["position"]
                if not is_stream and method == "GET":
                    asked += f"&min_position={head}"
                target += "?" + asked if method == "GET" else ""
                status, answer = capstan.call(method, target, body, first_line_only=is_stream)
                for _ in range(50):
                    if status != 404 or method != "GET":
                        break
                    await asyncio.sleep(0.1)
                    status, answer = capstan.call(method, target, body, first_line_only=is_stream)
            else:
                status, answer = await ask(client, name, subject, parts, body, query)
                for _ in range(50):
                    if status != 404 or body is not None:
                        break
                    await asyncio.sleep(0.1)
                    status, answer = await ask(client, name, subject, parts, body, query)
            good = 200 <= status < 300
            failed += not good
            print(f"{'ok  ' if good else 'FAIL'} {status} {way} {name} {subject if way == 'nats' else route}")
            if not good:
                print("    ", answer)
    if client:
        await client.drain()
    else:
        print("nats-py is not installed: the subjects were not called")
    print(f"{len(rows())} operations, {failed} calls failed")
    return failed


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    capstan = Capstan(sys.argv[1])
    try:
        failed = asyncio.run(walk(capstan))
    finally:
        capstan.stop()
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
