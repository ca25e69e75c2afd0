"""Validates an AsyncAPI document with AsyncAPI's own JSON Schema of its version.

    python scripts/asyncapi_is_valid.py FOLDER_OF_ASYNCAPI_SPECS schemas/asyncapi.json

The folder is the npm package `@asyncapi/specs`; jsonschema-rs (PyPI) validates.
"""

import json
import pathlib
import sys

import jsonschema_rs

specs, document = sys.argv[1:]
document = json.loads(pathlib.Path(document).read_text())
schema = pathlib.Path(specs, "schemas", f"{document['asyncapi']}-without-$id.json")
faults = list(jsonschema_rs.validator_for(json.loads(schema.read_text())).iter_errors(document))
for fault in faults:
    print("/".join(map(str, fault.instance_path)), fault.message[:300])
raise SystemExit(1 if faults else 0)
