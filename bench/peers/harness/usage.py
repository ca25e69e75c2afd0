"""Processor time and memory of processes, from /proc."""

import collections
import os
import pathlib
import time

TICKS = os.sysconf("SC_CLK_TCK")

#: A pause of a peer: below this share of one processor, for two looks.
IDLE_SHARE = 0.04
LOOK_SECONDS = 0.25

Line = collections.namedtuple("Line", "parent ticks")


def _processes():
    """Every process: its parent and its ticks, with those of children that ended."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # The name of a program may hold blanks and parentheses.
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        found[int(entry.name)] = Line(int(fields[1]), sum(int(field) for field in fields[11:15]))
    return found


def _tree(root, processes):
    """A process and all below it."""
    members, grown = {root}, True
    while grown:
        more = {pid for pid, line in processes.items() if line.parent in members} - members
        members |= more
        grown = bool(more)
    return members


def processor_seconds(roots):
    """Processor time of each process of `roots` (name to pid) with its children."""
    processes = _processes()
    # A program may have started another of them, as Capstan does its servers: each counts its own tree.
    owned = set(roots.values())
    seconds = {}
    for name, root in roots.items():
        if root not in processes:
            raise RuntimeError(f"{name} has ended")
        tree = _tree(root, {pid: line for pid, line in processes.items() if pid == root or pid not in owned})
        seconds[name] = sum(processes[pid].ticks for pid in tree if pid in processes) / TICKS
    return seconds


def memory_mb(roots):
    """Proportional set size of each process of `roots` with its children, in MB."""
    processes = _processes()
    owned = set(roots.values())
    return {
        name: sum(
            _pss(pid)
            for pid in _tree(root, {p: line for p, line in processes.items() if p == root or p not in owned})
        )
        for name, root in roots.items()
    }


def _pss(pid):
    try:
        lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1e6


def settle(roots, patience):
    """Waits until the processes pause, at most `patience` seconds: what is left to do belongs to what was accepted."""
    until = time.monotonic() + patience
    idle, before = 0, sum(processor_seconds(roots).values())
    while idle < 2 and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)
        now = sum(processor_seconds(roots).values())
        idle = idle + 1 if now - before < IDLE_SHARE * LOOK_SECONDS else 0
        before = now


class Machine:
    """What the whole machine did since it was created: busy time and time the host took away."""

    def __init__(self):
        self.before = self._read()

    @staticmethod
    def _read():
        fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        user, nice, system, idle, wait, irq, soft, steal = fields
        return {"all": sum(fields), "busy": user + nice + system + irq + soft, "steal": steal}

    def shares(self, ours):
        """The shares of the machine's time that others used, given the seconds of ours, and that was stolen."""
        now = self._read()
        passed = {name: now[name] - self.before[name] for name in now}
        whole = max(1, passed["all"])
        others = max(0, passed["busy"] - ours * TICKS)
        return {"others": round(others / whole, 3), "stolen": round(passed["steal"] / whole, 3)}
