"""A peer that runs: how the load generator reaches it, and its processes."""

import dataclasses
import pathlib


@dataclasses.dataclass
class Running:
    """`submission`, `single_wait` and `burst_wait` are options of the load generator."""

    load_generator: pathlib.Path
    #: Process ids by name.
    processes: dict
    submission: list
    single_wait: list
    burst_wait: list


def submission(url, body, reference=None, key_header="idempotency-key"):
    """A submission with an idempotency key."""
    options = ["--url", url, "--body", body, "--key-header", key_header]
    return options + (["--reference", reference] if reference else [])


def wait(url, done=None, poll_ms=2):
    """Reads of a result until it is there."""
    return ["--result", url, "--poll-ms", poll_ms] + (["--done", done] if done else [])


#: The body for peers that store any JSON.
ANY_BODY = '{"id":"{id}","message":"{pad}"}'
