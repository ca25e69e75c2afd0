#!/usr/bin/env python3
"""A whole worker in one file, with nothing but Python's standard library (3.9 or newer).

    capstan dev --no-worker &
    python3 examples/worker.py --url http://127.0.0.1:7070

Written from docs/worker-protocol.md alone, as a minimal worker. Replace `work` by your agent.
"""

import argparse
import json
import os
import random
import signal
import sys
import threading
import time
import urllib.error
import urllib.request

REPEATABLE = {408, 425, 429, 500, 502, 503, 504}


class Refused(Exception):
    """A refusal that a repeat would not change."""

    def __init__(self, problem):
        super().__init__(f"{problem['code']}: {problem.get('detail')}")
        self.code = problem["code"]


class Stopped(Exception):
    """The attempt is cancelled, lost or to be returned: stop working on it."""


class Server:
    def __init__(self, url, token):
        self.url, self.token = url.rstrip("/"), token

    def post(self, path, body, headers=(), wait=0.0, giving_up=lambda: False):
        """Posts JSON and repeats until there is an answer or `giving_up` says to stop."""
        tries = 0
        while True:
            request = urllib.request.Request(self.url + path, json.dumps(body).encode(), dict(headers))
            request.add_header("Content-Type", "application/json")
            if self.token:
                request.add_header("Authorization", f"Bearer {self.token}")
            pause = min(5.0, 0.1 * 2 ** min(tries, 10)) * random.uniform(0.5, 1.0)
            try:
                with urllib.request.urlopen(request, timeout=wait + 30) as answer:
                    return json.loads(answer.read() or b"null")
            except urllib.error.HTTPError as error:
                if error.code not in REPEATABLE:
                    raise Refused(json.loads(error.read())) from None
                pause = max(pause, float(error.headers.get("Retry-After", 0)))
            except OSError:
                pass  # No answer: the outcome is unknown, so repeat.
            if giving_up():
                raise Stopped("no answer")
            tries += 1
            time.sleep(pause)


class Attempt:
    """One leased attempt: its epoch, the hints of the last renewal, and the calls about it."""

    def __init__(self, server, leased, stopping):
        self.server, self.leased, self.id, self.stopping = server, leased, leased["attempt_id"], stopping
        self.lease_s, self.renewed_at = leased["lease_ms"] / 1000, time.monotonic()
        self.status, self.reason, self.inputs_pending, self.messages = "ok", "", 0, 0
        self.news = threading.Condition()

    def call(self, path, body, key=None):
        self.messages += 1
        # The same key for repeats of one message, a different one for every other message of the attempt.
        headers = {"Capstan-Lease-Epoch": self.leased["epoch"], "Idempotency-Key": key or f"m{self.messages}"}
        try:
            path = f"/v1/attempts/{self.id}/{path}"
            return self.server.post(path, body, headers, giving_up=lambda: self.status == "lost")
        except Refused as refused:
            if refused.code == "lease_lost":
                # The lease is over, or the attempt must stop: the next renewal says which.
                raise Stopped("the lease is lost") from None
            raise

    def fetch(self):
        """Reads the attempt in pages, when the answer to its lease had no room for all of it."""
        text, page = "", {"next_cursor": None}
        while "next_cursor" in page:
            cursor = page["next_cursor"]
            page = self.call("fetch", {"cursor": cursor} if cursor else {})
            text = page["text"] if page["offset"] == 0 else text + page["text"]
        self.leased = json.loads(text)

    def hear(self, answer):
        with self.news:
            if self.status != "lost":
                self.status, self.reason = answer["status"], answer.get("reason", "")
            self.inputs_pending = answer.get("inputs_pending", 0)
            self.news.notify_all()

    def check(self):
        """Raises when the attempt must stop. Call it often."""
        if self.status != "ok" or self.stopping.is_set():
            raise Stopped(self.status)

    def ask(self, summary):
        """Asks and waits up to a minute for the answer; None when it will be the prompt of a new run."""
        self.call("blockers", {"summary": summary})
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            self.check()
            claimed = self.call("inputs/claim", {})["input"]
            if claimed:
                # The agent has the answer. Without the acknowledgement it would return after a crash.
                self.call(f"inputs/{claimed['input_id']}/ack", {})
                return claimed["message"] or " ".join(str(answer) for answer in claimed["answers"].values())
            with self.news:
                self.news.wait_for(lambda: self.inputs_pending or self.status != "ok", timeout=2)
        return None


def work(attempt):
    """The agent. Returns the final report."""
    prompt = attempt.leased["prompt"].strip()
    line = f"pid {os.getpid()} works on {prompt!r}, because of {attempt.leased['cause']}"
    attempt.call("logs", {"lines": [{"stream": "stdout", "data": line}]})
    if prompt == "ask":
        prompt = attempt.ask("What shall I count?")
        if prompt is None:  # It will be the prompt of a new run.
            return {"outcome": "ok", "waiting_for_input": True}
    until = time.monotonic() + (float(prompt.split()[1]) if prompt.startswith("sleep ") else 0)
    while time.monotonic() < until:
        attempt.check()
        time.sleep(0.05)
    words = prompt.split()
    data = {"text": prompt, "words": len(words), "characters": len(prompt)}
    output = {"name": f"count-{attempt.leased['run_id']}", "output_type": "count", "title": "Word count"}
    attempt.call("outputs", {**output, "data": data})
    attempt.call("usage", {"usage": {"input_tokens": len(words), "output_tokens": 1, "cost_usd": 0.0}})
    return {"outcome": "ok", "exit_code": 0, "result": data}


class Worker:
    def __init__(self, server, name, slots):
        self.server, self.slots = server, threading.Semaphore(slots)
        self.registration = {
            "name": name,
            "pools": ["default"],
            "slots": slots,
            "labels": {"language": "python"},
            # Runs are leased only to workers that offer what their policy asks for.
            "capabilities": {"runtimes": ["gvisor", "runc"], "workspace_access": ["none", "ro", "rw"]},
        }
        self.attempts, self.lock, self.stopping = {}, threading.Lock(), threading.Event()

    def register(self):
        registered = self.server.post("/v1/workers", self.registration, giving_up=self.stopping.is_set)
        self.id = registered["worker_id"]

    def of_worker(self, path, body, wait=0.0):
        """A call below /v1/workers; registers again when the server has forgotten this worker."""
        while True:
            known = self.id
            try:
                return self.server.post(f"/v1/workers/{known}/{path}", body, wait=wait, giving_up=lambda: True)
            except Refused as refused:
                if refused.code != "not_found":
                    raise
                with self.lock:
                    if self.id == known:
                        self.register()

    def renew(self, attempts, wait):
        """Renews leases and tells the attempts what is new. False when there was no answer, or an attempt must not run."""
        asked_at = time.monotonic()
        renewals = [{"attempt_id": attempt.id, "epoch": attempt.leased["epoch"]} for attempt in attempts]
        try:
            answers = self.of_worker("renew", {"renewals": renewals, "wait_ms": int(wait * 1000)}, wait)
        except (Stopped, Refused):
            answers = []
        by_id = {answer["attempt_id"]: answer for answer in answers}
        for attempt in attempts:
            if attempt.id in by_id:
                if by_id[attempt.id]["status"] != "lost":
                    attempt.renewed_at = asked_at
                attempt.hear(by_id[attempt.id])
            if time.monotonic() - attempt.renewed_at >= attempt.lease_s:
                attempt.hear({"status": "lost"})
        return bool(answers) and all(attempt.status == "ok" for attempt in attempts)

    def keep_leases(self):
        """Renews all leases with one long poll, so that a cancellation or an answer arrives at once."""
        while True:
            time.sleep(0.1)  # A hint that was not acted on yet is answered at once: do not spin.
            with self.lock:
                held = list(self.attempts.values())
            # A short wait, so that an attempt leased meanwhile is soon in the next renewal.
            if held:
                self.renew(held, min([1.0] + [attempt.lease_s / 3 for attempt in held]))

    def confirm(self, attempt):
        """Renews a lease for the first time. False when the attempt is another worker's, or was cancelled."""
        while attempt.status == "ok" and not self.renew([attempt], wait=0.0):
            time.sleep(0.2)
        return attempt.status == "ok"

    def execute(self, attempt):
        try:
            if attempt.leased.get("omitted"):
                attempt.fetch()
            # Execute nothing before the lease was renewed: this answer may be late, and the attempt another worker's.
            if self.confirm(attempt):
                attempt.call("finish", work(attempt), key=attempt.id)
        except Stopped:
            self.stop(attempt)
        except Exception as error:  # A failure of the agent, not of the worker.
            attempt.call("finish", {"outcome": "error", "error": repr(error)}, key=attempt.id)
        finally:
            with self.lock:
                self.attempts.pop(attempt.id, None)
            self.slots.release()

    def stop(self, attempt):
        """Reports an attempt whose agent has stopped, as the reason requires."""
        with attempt.news:  # A refusal may arrive before the renewal that explains it.
            attempt.news.wait_for(lambda: attempt.status != "ok" or self.stopping.is_set(), 2 * attempt.lease_s)
        try:
            if attempt.status == "cancel":
                attempt.call("finish", {"outcome": "cancelled", "error": attempt.reason}, key=attempt.id)
            elif attempt.status == "ok":
                attempt.call("return", {"reason": "the worker stops"}, key="return")
        except (Stopped, Refused):
            pass  # The lease is over.
        print(f"{attempt.id} stopped: {attempt.status}", file=sys.stderr, flush=True)

    def run(self):
        self.register()
        threading.Thread(target=self.keep_leases, daemon=True).start()
        while not self.stopping.is_set():
            if not self.slots.acquire(timeout=0.5):
                continue
            leased = []
            try:
                leased = self.of_worker("lease", {"max": 1, "wait_ms": 2000}, 2)
            except (Stopped, Refused):
                time.sleep(0.5)
            if not leased:
                self.slots.release()
            for one in leased:
                attempt = Attempt(self.server, one, self.stopping)
                with self.lock:
                    self.attempts[attempt.id] = attempt
                threading.Thread(target=self.execute, args=[attempt]).start()
        # Leases nothing new; running attempts notice and are returned.
        self.of_worker("drain", {})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default=os.environ.get("CAPSTAN_URL", "http://127.0.0.1:7070"))
    parser.add_argument("--name", default=f"python-{os.getpid()}")
    parser.add_argument("--slots", type=int, default=4)
    options = parser.parse_args()
    server = Server(options.url, os.environ.get("CAPSTAN_TOKEN"))
    worker = Worker(server, options.name, options.slots)
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: worker.stopping.set())
    worker.run()


if __name__ == "__main__":
    main()
