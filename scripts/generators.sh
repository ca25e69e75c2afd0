#!/usr/bin/env bash
# Generates clients from schemas/openapi.json with openapi-python-client, openapi-typescript, openapi-ts and orval, checks
# their types, and makes one round trip with each. A warning of a generator fails: it leaves something out.
#
#     scripts/generators.sh target/debug/capstan
#
# Needs node 20, npm and python3 with venv. Starts its own `capstan dev` in a new folder and stops it again.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=$(realpath "${1:?the path of the capstan binary}")
python_client=0.29.1

folder=$(mktemp -d)
server=
cleanup() {
  [ -z "$server" ] || { kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; }
  rm -rf "$folder"
}
trap cleanup EXIT
cp scripts/generators/* schemas/openapi.json "$folder"
cd "$folder"
npm install --silent --no-audit --no-fund
python3 -m venv venv
venv/bin/pip install --quiet "openapi-python-client==$python_client"

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export CAPSTAN_URL="http://127.0.0.1:$port"
"$binary" dev --data-dir "$folder/data" --http "127.0.0.1:$port" --no-worker >"$folder/dev.out" 2>"$folder/dev.log" &
server=$!
for _ in $(seq 600); do
  grep -q '^ready ' dev.out && break
  kill -0 "$server" || { cat dev.log; exit 1; }
  sleep 0.1
done
grep -q '^ready ' dev.out || { echo "capstan dev is not ready after 60 s"; cat dev.log; exit 1; }

# Runs a generator, and fails when it warns.
generate() {
  echo "-- $1"
  "${@:2}" >"generate.log" 2>&1 || { cat generate.log; exit 1; }
  if grep -iE 'warning|skipping|error' generate.log; then
    cat generate.log
    exit 1
  fi
}
generate openapi-python-client venv/bin/openapi-python-client generate --path openapi.json --meta none \
  --config python_client.yml --output-path openapi_python_client_generated
generate openapi-typescript npx openapi-typescript openapi.json --output generated/openapi-typescript.d.ts
generate openapi-ts npx openapi-ts --input openapi.json --output generated/openapi-ts
generate orval npx orval --config orval.config.cjs

npx tsc
venv/bin/python with_openapi_python_client.py
for program in with_openapi_typescript with_openapi_ts with_orval; do
  node "out/$program.js"
done
echo "four generated clients work"
