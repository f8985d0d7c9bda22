#!/bin/sh
# usage: curl.sh BASE OPERATION. Prints the status and the SHA-256 of the body.
out=$(mktemp)
trap 'rm -f "$out"' EXIT
run() { status=$(curl -sS -o "$out" -w '%{http_code}' --max-time 40 "$@") && echo "$status $(sha256sum <"$out" | cut -c1-64)"; }
case $2 in
get) run "$1/payables?limit=2" ;;
post) run -H 'Content-Type: application/json' -d '{"a":1}' "$1/payables" ;;
upload) head -c 1048576 /dev/zero | run -T - -X POST -H 'Content-Type: application/octet-stream' "$1/files" ;;
refused) head -c 2097152 /dev/zero | run --limit-rate 640k -X POST -T - -H 'Content-Type: application/octet-stream' "$1/refused" ;;
redirect) run -L "$1/redirect" ;;
expect) run -H 'Expect: 100-continue' -H 'Content-Type: application/json' -d '{"a":1}' "$1/payables" ;;
h2c) run --http2 "$1/payables?limit=2" ;;
*) exit 77 ;;
esac
