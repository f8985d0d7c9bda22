#!/usr/bin/env bash
# Mutation testing: gremlins changes one operator at a time and runs the tests.
# Of each file it says how many changes the tests caught; "LIVED" names those
# that they did not. "NOT COVERED" are constants and the conditions of a switch's
# cases, which Go's coverage does not count: those want a look by hand. A minute
# or two per file. Arguments: files, default all of them.
set -euo pipefail
cd "$(dirname "$0")/../.."
gremlins=${GREMLINS:-gremlins}

# Tests that wait on purpose, or do one thing very often, see nothing of these files that
# others do not.
slow='Early|Stall|TooLarge|Slow|Busy|Unfinished|CutAnswer|Big|TakesNoBody|Minute|Steady|RefusalComes'
slow+='|NoTwoGrantsShare|HotGrantSurvives|EqualWritesWithoutFaults|MemoryAtTheBounds|OrdinaryWrites'

# -count=1: gremlins takes the time-out from the time of a first run, which must
# not come from the cache; -vet=off: the tests are to catch a change, not vet.
run() {
  local dir=${1%/*} file=${1##*/} others folders
  others=$(find "$dir" -maxdepth 1 -name '*.go' ! -name '*_test.go' ! -name "$file" -exec basename {} .go \; | paste -sd'|')
  folders=$(find "$dir" -mindepth 1 -maxdepth 1 -type d -exec basename {} \; | paste -sd'|')
  echo "== $1"
  GOFLAGS="-count=1 -vet=off -skip=$slow" "$gremlins" unleash --invert-logical --workers 2 --timeout-coefficient "${COEFFICIENT:-4}" \
    -E "(^|/)($others)\.go$" -E "(^|/)(${folders:-none})/" "./$dir" |
    grep --line-buffered -E 'LIVED|TIMED OUT|NOT COVERED|^Killed|^Timed|efficacy' || true
}

if [ $# -eq 0 ]; then
  set -- proxy/guard.go proxy/rewrite.go proxy/credential.go \
    proxy/identity/{resolve,policy,handle,grant}.go \
    proxy/writes/{journal,judge,claim,memory,record,key,fingerprint,multipart,unknown}.go \
    tokencache/cache.go tokencache/mint.go tokencache/minted.go tokencache/table.go tokencache/failure.go tokencache/run.go
fi
for file in "$@"; do run "$file"; done
