#!/usr/bin/env bash
# Pictures of the status page, from the sidecar in front of the simulator: light, dark, narrow, with a token endpoint
# that fails, in the colours of production; and small ones for the pages. Needs chromium (Debian has it) and curl. Usage: pictures.sh DIRECTORY, after make build.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
chromium=$(command -v chromium || command -v chromium-browser || true)
[ -n "$chromium" ] || { echo "pictures: SKIPPED, chromium is not installed" >&2; exit 0; }
if [ -z "${PICTURES_INSIDE:-}" ]; then
  mkdir -p "$1"
  # The simulator runs this again with its own address and credentials set.
  PICTURES_INSIDE=1 exec "$here/bin/monite-sim" -listen 127.0.0.1:0 -latency 12ms -token-lifetime 10m -- bash "$0" "$(cd "$1" && pwd)"
fi
out=$1
work=$(mktemp -d)
started=()
cleanup() {
  for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT

# field NAME of the line "listening" in the log of a sidecar
field() {
  for _ in $(seq 200); do
    local found
    found=$(sed -nE "/\"message\":\"listening\"/s/.*\"$2\":\"([^\"]+)\".*/\1/p" "$1")
    [ -z "$found" ] || { echo "$found"; return; }
    sleep 0.1
  done
  cat "$1" >&2
  return 1
}

sidecar() { # environment
  MONITE_ENVIRONMENT=$1 MONITE_ALLOWED_ENTITY_IDS='*' MONITE_ALLOWED_ENTITY_USER_IDS='*' MONITE_HOLD_TIMEOUT=300ms \
    MONITE_LISTEN_ADDR=127.0.0.1:0 MONITE_ADMIN_ADDR=127.0.0.1:0 "$here/bin/monite-proxy" 2>"$work/$1" &
  started+=($!)
  data=http://$(field "$work/$1" listen)
  admin=http://$(field "$work/$1" admin)
}

call() { curl -s -o /dev/null --max-time 5 "$@" || true; }
sim() { curl -s -o /dev/null -X POST "$MONITE_API_URL/_sim/$1" "${@:2}"; }

user=b5e1c0de-0001-4000-8000-0000000000a1
viewer=b5e1c0de-0001-4000-8000-0000000000a2
entity=b5e1c0de-0001-4000-8000-000000000001

traffic() { # a few rounds of what an app does
  for i in $(seq "$1"); do
    call "$data/v1/payables?limit=3" -H "X-Monite-Entity-Id: $entity"
    call "$data/v1/entities"
    call "$data/v1/entity_users/me" -H "X-Monite-Entity-User-Id: $user"
    call "$data/v1/payables/analytics" -H "X-Monite-Entity-User-Id: $viewer"
    call "$data/v1/receivables?limit=2" -H "X-Monite-Entity-Id: $entity"
    [ $((i % 4)) != 0 ] || call "$data/v1/counterparts" -H 'X-Monite-Entity-Id: 00000000-0000-4000-8000-000000000000'
    [ $((i % 5)) != 0 ] || call -X POST "$data/v1/payables" -H "X-Monite-Entity-Id: $entity" -H 'Content-Type: application/json' \
      -d '{"counterpart_id":"b5e1c0de-0001-4000-8000-0000000000d1","document_id":"2026-0042","currency":"EUR","total_amount":24900}'
  done
}

picture() { # name width height flags...
  traffic 1 # so that the last requests and tokens in use are recent
  timeout 60 "$chromium" --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$work/profile" --timeout=3000 \
    --force-device-scale-factor="${scale:-1}" --window-size="$2,$3" --screenshot="$out/$1.png" "${@:4}" "$admin/" >"$work/chromium" 2>&1 \
    || { cat "$work/chromium" >&2; exit 1; }
  echo "$out/$1.png"
}

sidecar sandbox
traffic 12
sleep 6
traffic 8
sim revoke_all
sim faults -d '[{"method":"POST","path":"/v1/payables","after":true,"effect":"rst","times":1},{"path":"/v1/receivables","status":503,"times":2}]'
sleep 6
traffic 10
scale=0.75 picture page 1180 870
scale=0.75 picture page-dark 1180 870 --blink-settings=preferredColorScheme=0
picture light 1180 1250
picture dark 1180 1250 --blink-settings=preferredColorScheme=0
picture narrow 500 1400

# Tokens cannot be replaced any more: live ones stay in use, requests for new ones fail.
sim token_endpoint/down
curl -s -o /dev/null -X POST "$admin/tokens/refresh"
call "$data/v1/entity_users/me" -H 'X-Monite-Entity-User-Id: b5e1c0de-0002-4000-8000-0000000000a1'
sim revoke_all
traffic 2
picture failing 1180 1250
scale=0.75 picture page-failing 1180 870 --blink-settings=preferredColorScheme=0

sim token_endpoint/up
sidecar eu
traffic 2
picture production 1180 800
