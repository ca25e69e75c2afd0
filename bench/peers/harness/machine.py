"""The machine and the versions, so that figures can be compared later."""

import os
import pathlib
import platform
import re
import subprocess


def describe(tools):
    """Processors, memory, kernel, versions of what was measured."""
    cpu = re.search(r"^model name\s*:\s*(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+) kB", pathlib.Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "processors": os.cpu_count(),
        "model": cpu.group(1) if cpu else platform.machine(),
        "memory_gb": round(int(memory.group(1)) / 1e6) if memory else None,
        "kernel": platform.release(),
        "load": os.getloadavg()[0],
        "versions": {name: _version(command) for name, command in tools.version_commands().items()},
    }


def text(about):
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return (
        f"{about['processors']} processors ({about['model']}), {about['memory_gb']} GB, Linux {about['kernel']}, "
        f"load at the start {about['load']:.1f}; {versions}. Median of the rounds; ~ marks a line whose machine was "
        "used by others or stolen for more than 15 %."
    )


def _version(command):
    ended = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=30, check=False)
    found = re.search(r"v?(\d+\.\d+[\w.-]*)", ended.stdout + ended.stderr)
    return found.group(1) if found else "unknown"
