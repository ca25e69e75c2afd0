#!/usr/bin/env bash
# Calls every route with generated valid and invalid input, and validates the answers against /openapi.json: no 5xx, no
# answer outside its schema. Needs schemathesis (PyPI) on the PATH, or its folder in SCHEMATHESIS_BIN.
#
#     scripts/schemathesis.sh target/release/capstan [cases for each operation, 180 [more options of schemathesis]]
#
# Starts its own `capstan dev` in a new folder and stops it again.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=${1:?the path of the capstan binary}
cases=${2:-180}
export PATH="${SCHEMATHESIS_BIN:-}:$PATH"

folder=$(mktemp -d)
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$binary" dev --data-dir "$folder/data" --http "127.0.0.1:$port" --no-worker >"$folder/out" 2>"$folder/log" &
server=$!
cleanup() {
  kill "$server" 2>/dev/null || true
  wait "$server" 2>/dev/null || true
  rm -rf "$folder"
}
trap cleanup EXIT
for _ in $(seq 600); do
  grep -q '^ready ' "$folder/out" && break
  kill -0 "$server" || { cat "$folder/log"; exit 1; }
  sleep 0.1
done

# Streams do not end, and a rebuild of the read models is slow: they have tests of their own.
export CAPSTAN_URL="http://127.0.0.1:$port" SCHEMATHESIS_HOOKS=schemathesis_hooks PYTHONPATH=scripts
schemathesis run "$CAPSTAN_URL/openapi.json" \
  --url "$CAPSTAN_URL" \
  --phases examples,fuzzing --mode all --max-examples "$cases" --workers 12 --continue-on-failure --no-color \
  --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance \
  --exclude-operation-id SubscribeWorkspaceLive --exclude-operation-id SubscribeTaskLive \
  --exclude-operation-id SubscribeRunEvents --exclude-operation-id RebuildProjection \
  --request-timeout 40 --generation-deterministic "${@:3}"
