#!/bin/sh
# A shell script as cron runs it: lists entities, creates a tag, reads it back.
set -eu
base=${MONITE_BASE_URL:-https://api.sandbox.monite.com/v1} # http://localhost:8080/v1
name=$1

call() { curl --silent --show-error --fail --max-time 70 --header "X-Monite-Entity-Id: $MONITE_ENTITY" "$@"; }

call --output /dev/null "$base/entities?limit=1"
id=$(call --header 'Content-Type: application/json' --data "{\"name\":\"$name\"}" "$base/tags" | sed -n 's/.*"id": *"\([^"]*\)".*/\1/p')
call "$base/tags/$id" | grep -q "\"name\": *\"$name\""
echo "created and read $name"
