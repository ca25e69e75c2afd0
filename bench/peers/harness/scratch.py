"""The one folder that everything is installed and run in."""

import os
import pathlib
import shutil


def default_folder():
    """`capstan-peers` in the user's cache folder."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(cache) / "capstan-peers"


class Scratch:
    """Its subfolders. Postgres does not run as root, so every folder above must be open to other users then."""

    def __init__(self, folder):
        self.folder = folder.resolve()
        self.target = self.folder / "target"
        self.npm = self.folder / "npm"
        self.results = self.folder / "results"
        self.data = self.folder / "data"
        for path in (self.folder, self.results, self.data):
            path.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        if os.geteuid() == 0:
            closed = [path for path in self.folder.parents if not path.stat().st_mode & 0o001]
            if closed:
                raise SystemExit(f"{closed[0]} is closed to the user of Postgres: choose another --scratch")

    def fresh(self, name):
        """An empty folder for the data of one start."""
        path = self.data / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        path.chmod(0o755)
        return path
