"""One round of one peer: two starts on empty data, one to accept and one to execute."""

import collections
import json
import resource
import subprocess
import uuid

from . import usage
from .program import ENVIRONMENT, programs

#: Length of a phase: clients of accept, seconds, tasks of a burst.
Plan = collections.namedtuple("Plan", "clients seconds tasks")

#: Clients of a burst.
BURST_CLIENTS = 64
#: Seconds before a phase that are not measured.
WARM_UP = 1
#: Longest time in seconds for what a start leaves to do.
START_SECONDS = 20
#: Longest time in seconds for what is left to do after accepting, and for a phase with what it waits for.
SETTLE_SECONDS = 10
PATIENCE = 180


def measure(peer, durability, number, plan, records):
    """Measures a peer and adds a record a phase; a failure is a record too."""
    about = {"peer": peer.name, "durability": durability, "round": number}
    try:
        with programs() as keep:
            running = started(peer, keep, durability, execute=False)
            for clients in plan.clients:
                options = ["--clients", clients, "--seconds", plan.seconds, "--warm-up", WARM_UP]
                phase = run(running, "accept", options, [], settle=True)
                records.add({**about, "phase": "accept", "clients": clients, **phase})
            memory = usage.memory_mb(running.processes)
            records.add({**about, "phase": "memory", "memory_mb": rounded(memory)})
        with programs() as keep:
            running = started(peer, keep, durability, execute=True)
            options = ["--seconds", plan.seconds, "--warm-up", WARM_UP]
            single = run(running, "single", options, running.single_wait)
            records.add({**about, "phase": "single", **single})
            options = ["--clients", BURST_CLIENTS, "--tasks", plan.tasks]
            burst = run(running, "burst", options, running.burst_wait)
            records.add({**about, "phase": "burst", "tasks": plan.tasks, **burst})
    except Exception as error:
        # The other peers are measured all the same, and the run as a whole fails at its end.
        records.add({**about, "error": f"{type(error).__name__}: {error}"})


def started(peer, keep, durability, execute):
    """A peer that has done what its start leaves to do: Restate is busy for seconds after it answers."""
    running = peer.start(keep, durability, execute)
    usage.settle(running.processes, START_SECONDS)
    return running


def run(running, phase, options, wait, settle=False):
    """Runs the load generator once, and adds processor time per operation by process to what it says."""
    command = [running.load_generator, *running.submission, "--prefix", uuid.uuid4().hex[:12]]
    command = [str(part) for part in [*command, phase, *options, *wait]]
    machine = usage.Machine()
    before = usage.processor_seconds(running.processes)
    client_before = _children_seconds()
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, check=False, env=ENVIRONMENT
    )
    if ended.returncode != 0:
        raise RuntimeError(f"{phase}: {ended.stderr[-600:]}")
    client = _children_seconds() - client_before
    if settle:
        usage.settle(running.processes, SETTLE_SECONDS)
    after = usage.processor_seconds(running.processes)
    spent = {name: after[name] - before[name] for name in before} | {"client": client}
    line = json.loads(ended.stdout)
    operations = max(1, line.pop("operations"))
    line["cpu_us"] = rounded({name: seconds * 1e6 / operations for name, seconds in spent.items()})
    return {**rounded(line), **machine.shares(sum(spent.values()))}


def _children_seconds():
    """Processor time of ended children: within a phase, that of the load generator."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def rounded(values):
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in values.items()}
