"""A Postgres on empty data, with the settings of `capstan dev`."""

import os
import signal
import subprocess

from .program import Program, free_port

#: Postgres refuses to run as root.
USER = "postgres" if os.geteuid() == 0 else None
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "timezone": "UTC",
}


def start(keep, scratch, programs, flush_commits=True):
    """Starts it and returns its program and the URL of an empty database.

    Without `flush_commits` a commit is acknowledged before it is flushed, and flushed within 600 ms.
    """
    folder = scratch.fresh("postgres")
    if USER:
        subprocess.run(["chown", USER, folder], check=True)
    cluster = folder / "cluster"
    command = [programs / "initdb", "-D", cluster, "-A", "trust", "-U", "peers", "-E", "UTF8", "--no-locale"]
    subprocess.run(
        command, user=USER, group=USER, extra_groups=[] if USER else None, cwd="/",
        stdout=subprocess.DEVNULL, check=True, timeout=60,
    )
    port = free_port()
    settings = {**SETTINGS, "port": port, "synchronous_commit": "on" if flush_commits else "off"}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    command = [programs / "postgres", "-D", cluster, *options]
    program = keep(Program("Postgres", command, scratch.data / "postgres.log", user=USER), signal.SIGINT)
    ready = [programs / "psql", "-qXAt", "-h", "127.0.0.1", "-p", str(port), "-U", "peers", "-d", "postgres", "-c", "SELECT 1"]
    program.wait_for(lambda: subprocess.run(ready, capture_output=True, check=False).returncode == 0)
    return program, f"postgres://peers@127.0.0.1:{port}/postgres"
