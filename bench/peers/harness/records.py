"""What was measured, one line of JSON each."""

import json


class Records:
    """Kept in memory and appended to a file at once."""

    def __init__(self, path):
        self.path = path
        self.all = []

    def add(self, record):
        self.all.append(record)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
