"""Programs that are started, awaited and ended by their process id."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

#: Longest wait for a program to be ready, and for one to end, in seconds.
READY_SECONDS = 60
END_SECONDS = 30
#: Errors are shown by their ends, so they come without backtraces.
ENVIRONMENT = {**os.environ, "RUST_BACKTRACE": "0"}


def free_port():
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Program:
    """A running program whose output goes to a file."""

    def __init__(self, name, command, output, environment=None, user=None):
        self.name = name
        self.output = pathlib.Path(output)
        with open(self.output, "wb") as file:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**ENVIRONMENT, **(environment or {})},
                user=user,
                group=user,
                extra_groups=[] if user else None,
                cwd="/",
            )

    @property
    def pid(self):
        return self.process.pid

    def wait_for(self, ready):
        """Waits until `ready()` holds."""
        until = time.monotonic() + READY_SECONDS
        while not ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}: {self.tail()}")
            if time.monotonic() > until:
                raise RuntimeError(f"{self.name} was not ready in {READY_SECONDS} s: {self.tail()}")
            time.sleep(0.02)

    def wait_for_line(self, text):
        """Waits until its output has a line that begins with `text`, and answers it."""
        found = []

        def ready():
            lines = self.output.read_text(errors="replace").splitlines()
            found.extend(line for line in lines if line.startswith(text))
            return bool(found)

        self.wait_for(ready)
        return found[0]

    def tail(self):
        return self.output.read_text(errors="replace")[-600:]

    def stop(self, with_signal=signal.SIGTERM):
        if self.process.poll() is not None:
            return
        self.process.send_signal(with_signal)
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def programs():
    """A function that keeps programs, which are ended in reverse order."""
    with contextlib.ExitStack() as stack:

        def keep(program, with_signal=signal.SIGTERM):
            stack.callback(program.stop, with_signal)
            return program

        yield keep


def answers(url, data=None, headers=None):
    """Whether an HTTP request is answered with 2xx."""
    request = urllib.request.Request(url, data=data, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return 200 <= answer.status < 300
    except (urllib.error.URLError, OSError):
        return False


def listens(port):
    """Whether somebody accepts connections on a port of 127.0.0.1."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0
