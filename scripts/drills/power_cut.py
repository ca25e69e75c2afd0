#!/usr/bin/env python3
"""Cuts the power of a running `capstan dev` at random moments, and checks that nothing acknowledged is lost or doubled.

    sudo scripts/drills/power_cut.py target/release/capstan [--rounds 10] [--seconds 4] [--archive]

Each round starts `capstan dev --durability always` with its data on a file system of its own, an ext4 image on a loop device.
Eight clients submit tasks with idempotency keys, half of them on sessions, and a worker ends them. Then the file system is shut down as by a power cut
(`FS_IOC_SHUTDOWN` without flushing: what was not flushed is gone), all processes are killed, and the image is mounted again,
which replays its journal. With --archive the power goes while `capstan log archive` carries the beginning of the log forward and
removes it.

After each cut the next start must become ready, and then:
- every task that was acknowledged is there;
- every key that was sent, acknowledged or not, names exactly one task: sent again, it is that task's, whichever answer was lost
  (what went on with a session's task may be refused as archived);
- `capstan log verify` finds the hash chain whole, and `capstan projection verify` the rows equal to the log.

Needs root, Linux, loop devices, `mkfs.ext4` and `mount`. It uses 127.0.0.1 and its own folder only, and ends its own processes only.
"""

import argparse
import concurrent.futures
import contextlib
import ctypes
import fcntl
import json
import os
import pathlib
import random
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

# FS_IOC_SHUTDOWN of linux/fs.h, and its flag for a shutdown that flushes neither data nor journal.
SHUTDOWN, NO_FLUSH = 0x8004587D, 2
# Of prctl: processes whose parents have ended become children of this one.
SET_CHILD_SUBREAPER = 36
READY_SECONDS = 120
CLIENTS = 8


def submit(address, key):
    """The id of the task of this key, and whether it was there before. Every other one begins a session, or goes on with it."""
    command = {"agent_id": "demo", "message": f"task {key}", "idempotency_key": key}
    number, client, turn = key.split("-")
    if int(turn) % 2:
        command["session_id"] = f"{number}-{client}-{int(turn) // 8}"
    body = json.dumps(command).encode()
    request = urllib.request.Request(
        f"{address}/v1/workspaces/dev/tasks", body, {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        reply = json.load(answer)["receipt"]
        return reply["id"], reply["duplicate"]


def resubmit(address, key):
    """As `submit`; the problem when it is refused."""
    try:
        return submit(address, key)
    except urllib.error.HTTPError as error:
        return json.load(error)


def exists(address, task):
    try:
        urllib.request.urlopen(f"{address}/v1/workspaces/dev/tasks/{task}", timeout=30).close()
        return True
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return False
        raise


class Installation:
    """A `capstan dev` whose data stand on a file system that can be shut down."""

    def __init__(self, binary, folder, durability):
        self.binary, self.folder, self.durability = binary, pathlib.Path(folder), durability
        self.place, self.image = self.folder / "disk", self.folder / "image"
        self.data = self.place / "data"
        self.process = self.address = None
        self.place.mkdir()
        subprocess.run(["truncate", "-s", "4G", self.image], check=True)
        subprocess.run(["mkfs.ext4", "-q", self.image], check=True)
        self.mount()

    def mount(self):
        subprocess.run(["mount", "-o", "loop", self.image, self.place], check=True)

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                self.tool("dev", "--http", "127.0.0.1:0", "--durability", self.durability),
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                text=True,
            )
        deadline = threading.Timer(READY_SECONDS, self.process.kill)
        deadline.start()
        for line in self.process.stdout:
            if line.startswith("ready "):
                deadline.cancel()
                self.address = line.split()[1].rstrip("/")
                threading.Thread(target=self.process.stdout.read, daemon=True).start()
                return
        told = (self.folder / "log").read_text().splitlines()[-10:]
        sys.exit("\n".join([f"ended, or not ready within {READY_SECONDS} s:", *told]))

    def tool(self, *arguments):
        return [self.binary, *arguments, "--data-dir", self.data]

    def checked(self, *arguments):
        done = subprocess.run(self.tool(*arguments), capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            sys.exit(f"{' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")

    def processes(self):
        """The launcher and all that descend from it: its servers and their children."""
        own, parents = {self.process.pid}, {}
        for entry in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        while True:
            more = {pid for pid, parent in parents.items() if parent in own} - own
            if not more:
                return own
            own |= more

    def cut(self):
        """Takes the power away."""
        processes = self.processes()
        disk = os.open(self.place, os.O_RDONLY)
        fcntl.ioctl(disk, SHUTDOWN, struct.pack("I", NO_FLUSH))
        os.close(disk)
        for pid in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        # Postgres takes a process that ended and was not waited for as running; after a real cut there is none.
        for pid in processes:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        self.unmount()
        self.mount()

    def unmount(self):
        for _ in range(200):
            if subprocess.run(["umount", self.place], capture_output=True).returncode == 0:
                return
            time.sleep(0.05)
        sys.exit(f"{self.place} stays busy")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=60)
        self.unmount()


def load(installation, number, seconds, on_cut):
    """Submits until the power is gone; returns the keys that were sent and the tasks that were acknowledged, by key."""
    sent, acknowledged, gone = [], {}, threading.Event()

    def client(name):
        for turn in range(1_000_000):
            if gone.is_set():
                return
            key = f"{number}-{name}-{turn}"
            sent.append(key)
            try:
                acknowledged[key] = submit(installation.address, key)[0]
            except OSError:
                return

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as clients:
        running = [clients.submit(client, name) for name in range(CLIENTS)]
        time.sleep(seconds)
        on_cut()
        gone.set()
        for one in running:
            one.result()
    return sent, acknowledged


def archive_until(installation, seconds):
    """Begins to archive all that is over and was recorded until now, and returns after so long or when it ends."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    command = installation.tool("log", "archive", "--through", now, "--keep-days", "0", "--min-ratio", "0")
    archiving = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        archiving.wait(timeout=seconds)
        return "ended" if archiving.returncode == 0 else f"refused: {archiving.stderr.read().strip()[-200:]}"
    except subprocess.TimeoutExpired:
        return "was under way"
    finally:
        archiving.kill()


def check(installation, sent, acknowledged):
    """Checks what the tasks of a round are after the cut, and returns what is wrong."""
    wrong = []
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as clients:
        for key, again in zip(sent, clients.map(lambda key: resubmit(installation.address, key), sent)):
            known = acknowledged.get(key)
            if isinstance(again, dict):
                # It went on with a session's task, and what it did is archived. Nothing is done twice.
                if again["code"] != "idempotency_key_archived":
                    wrong.append(f"{key}: refused when sent again: {again}")
            elif known is not None and again != (known, True):
                wrong.append(f"{key}: acknowledged as {known}, then taken again as {again[0]}")
        tasks = list(acknowledged.values())
        for task, there in zip(tasks, clients.map(lambda task: exists(installation.address, task), tasks)):
            if not there:
                wrong.append(f"{task}: acknowledged, and not found")
    return wrong


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("binary", type=pathlib.Path)
    options.add_argument("--rounds", type=int, default=10)
    options.add_argument("--seconds", type=float, default=4, help="longest time of a round before its cut")
    options.add_argument("--archive", action="store_true", help="cut the power while the log is archived")
    options.add_argument(
        "--durability",
        choices=["always", "interval"],
        default="always",
        help="with interval, up to 100 ms of what was acknowledged are lost: shows that the cut is one",
    )
    options.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    given = options.parse_args()
    ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    chance = random.Random(given.seed)
    print(f"seed {given.seed}", flush=True)
    failed, total = [], 0
    with tempfile.TemporaryDirectory(prefix="capstan-power-cut-") as folder:
        os.chmod(folder, 0o755)
        installation = Installation(given.binary.resolve(), folder, given.durability)
        try:
            installation.start()
            for number in range(given.rounds):
                seconds = chance.uniform(0.2, given.seconds)
                archived = []

                def cut():
                    if given.archive:
                        archived.append(archive_until(installation, chance.uniform(0.02, 0.8)))
                    installation.cut()

                sent, acknowledged = load(installation, number, seconds, cut)
                began = time.monotonic()
                installation.start()
                ready = time.monotonic() - began
                wrong = check(installation, sent, acknowledged)
                installation.checked("log", "verify")
                installation.checked("projection", "verify")
                total += len(acknowledged)
                failed += wrong
                extra = f", the archive {archived[0]}" if archived else ""
                print(
                    f"round {number + 1}: cut after {seconds:.1f} s{extra}; {len(sent)} sent, {len(acknowledged)} acknowledged, "
                    f"ready after {ready:.1f} s, {len(wrong)} wrong",
                    flush=True,
                )
        finally:
            installation.stop()
    print(f"{given.rounds} cuts, {total} acknowledged, {len(failed)} wrong")
    for line in failed[:20]:
        print(f"  {line}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
