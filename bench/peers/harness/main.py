"""The command line, and the order in which peers are measured."""

import argparse
import datetime
import pathlib
import sys

from . import install, machine, report
from .measure import Plan, measure
from .peers import PEERS
from .records import Records
from .scratch import Scratch, default_folder

DURABILITIES = ("interval", "always")


def arguments(given):
    parser = argparse.ArgumentParser(prog="bench/peers/run", description=__doc__)
    parser.add_argument("--capstan", type=pathlib.Path, required=True, help="release binary of Capstan")
    parser.add_argument("--rounds", type=int, default=5, help="figures are medians over them (default 5)")
    parser.add_argument("--seconds", type=float, default=4, help="length of a phase (default 4)")
    parser.add_argument("--durability", type=names(DURABILITIES), default=list(DURABILITIES))
    parser.add_argument("--peers", type=names(PEERS), default=list(PEERS))
    parser.add_argument("--clients", type=numbers, default=[1, 64, 256], help="clients of accept")
    parser.add_argument("--tasks", type=int, default=5000, help="tasks of a burst (default 5000)")
    parser.add_argument("--quick", action="store_true", help="one round of one second and 500 tasks")
    parser.add_argument("--scratch", type=pathlib.Path, default=default_folder())
    parser.add_argument("--output", type=pathlib.Path, help="JSON lines (default: in the scratch folder)")
    chosen = parser.parse_args(given)
    if chosen.quick:
        chosen.rounds, chosen.seconds, chosen.tasks = 1, 1, 500
    return chosen


def names(known):
    def read(text):
        chosen = text.split(",")
        unknown = [name for name in chosen if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; one of {', '.join(known)}")
        return chosen

    return read


def numbers(text):
    return [int(part) for part in text.split(",")]


def subjects(peers, durabilities):
    """What is measured in a round: each peer at each durability.

    Restate without flushes promises less than Capstan at `interval`, which flushes every 100 ms. So it is measured with
    them too, whichever durability was asked for.
    """
    pairs = [(peer, durability) for durability in durabilities for peer in peers]
    if "restate" in peers and ("restate", "always") not in pairs:
        pairs.append(("restate", "always"))
    return pairs


def main(given):
    chosen = arguments(given)
    scratch = Scratch(chosen.scratch)
    tools = install.install(scratch, chosen.capstan.resolve(), chosen.peers)
    plan = Plan(chosen.clients, chosen.seconds, chosen.tasks)
    name = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ.jsonl")
    records = Records(chosen.output or scratch.results / name)
    about = machine.describe(tools)
    records.add({"machine": about, "arguments": given})
    order = subjects(chosen.peers, chosen.durability)
    for number in range(1, chosen.rounds + 1):
        for peer, durability in order:
            print(f"round {number} of {chosen.rounds}: {peer}, {durability}", file=sys.stderr, flush=True)
            measure(PEERS[peer](scratch, tools), durability, number, plan, records)
        # What runs first in one round runs last in the next, so that drift of the machine hits all alike.
        order = order[1:] + order[:1]
    print(machine.text(about))
    print()
    print(report.table(records.all))
    print(f"\nLines: {records.path}")
    failures = [record for record in records.all if "error" in record]
    for failure in failures:
        print(f"failed: {failure['peer']}, {failure['durability']}: {failure['error']}", file=sys.stderr)
    return 1 if failures else 0
