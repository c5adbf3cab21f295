#!/usr/bin/env bash
# Runs a command with a server of S3 and Glue beside it, on a free port of 127.0.0.1, that is gone when the command ends.
#
#   s3.sh COMMAND [ARGUMENT ...]
#
# The command finds the server by the usual AWS variables, and by HUDI_TEST_S3 and HUDI_TEST_GLUE what our tests ask for: its URL.
# The server is moto, in memory (s3_server.py says what it can do beyond), installed to ${HUDI_PEERS:-$HOME/.cache/hudi-peers}/moto.
set -euo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
. "$HERE/downloads.sh"
MOTO="$PEERS/moto"

if ! "$MOTO/bin/python" -c 'import moto.server, werkzeug, pyparsing' 2>/dev/null; then
    python3 -c 'import ensurepip, venv' 2>/dev/null || debian python3 python3-venv
    mkdir -p "$(dirname "$MOTO")"
    python3 -m venv --clear "$MOTO"
    "$MOTO/bin/python" -m pip install --quiet --disable-pip-version-check 'moto[server,s3,glue]==5.2.5'
fi

work="$(mktemp -d)"
# Not the user's own: the server takes any key.
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null
unset AWS_PROFILE AWS_SESSION_TOKEN AWS_ENDPOINT_URL AWS_ENDPOINT_URL_S3 AWS_ENDPOINT_URL_GLUE
"$MOTO/bin/python" "$HERE/s3_server.py" "$work/port" >"$work/log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 1 300); do
    [ ! -s "$work/port" ] || break
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
done
[ -s "$work/port" ] || {
    echo "the server did not start:" >&2
    cat "$work/log" >&2
    exit 1
}
HUDI_TEST_S3="http://127.0.0.1:$(cat "$work/port")"
export HUDI_TEST_S3 HUDI_TEST_GLUE="$HUDI_TEST_S3" AWS_ENDPOINT_URL="$HUDI_TEST_S3"
"$@"
