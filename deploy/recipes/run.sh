#!/bin/sh
# Runs each recipe for real, against the sidecar and the simulator, with nothing but the base URL set. One line each: ok,
# skipped with the reason, or FAILED. Needs Go and curl; languages that are not installed are skipped (Debian: php-cli,
# default-jdk-headless, python3, nodejs, nginx-light).
set -u
cd "$(dirname "$0")/../.." || exit 1

# Started by the simulator below: its variables are set.
if [ "${1:-}" != inside ]; then
  work=$(mktemp -d) || exit 1
  trap 'rm -rf "$work"' EXIT
  CGO_ENABLED=0 go build -o "$work/" ./cmd/monite-proxy ./cmd/monite-sim || exit 1
  export work
  "$work/monite-sim" -listen 127.0.0.1:0 -- sh deploy/recipes/run.sh inside
  exit
fi

cd deploy/recipes || exit 1
failed=0
have() { command -v "$1" >/dev/null 2>&1; }
: >"$work/log"
MONITE_LISTEN_ADDR=127.0.0.1:0 MONITE_ADMIN_ADDR=127.0.0.1:0 MONITE_LOG_FORMAT=json "$work/monite-proxy" 2>"$work/log" &
proxy=$!
trap 'kill $proxy 2>/dev/null; wait $proxy 2>/dev/null' EXIT
address=''
for _ in $(seq 100); do
  address=$(sed -n 's/.*"listen":"\([^"]*\)".*"message":"listening".*/\1/p' "$work/log")
  [ -n "$address" ] && break
  sleep 0.05
done
[ -n "$address" ] || { cat "$work/log"; echo 'FAILED   the sidecar did not start'; exit 1; }
simulator=$MONITE_API_URL
# The clients have neither credentials nor the address of Monite; only the base URL, and the entity they act for.
unset MONITE_CLIENT_ID MONITE_CLIENT_SECRET MONITE_API_URL MONITE_ALLOWED_ENTITY_IDS MONITE_ALLOWED_ENTITY_USER_IDS
export MONITE_BASE_URL="http://$address/v1" MONITE_ENTITY=b5e1c0de-0001-4000-8000-000000000001 # the simulator's bakery

# writes counts the writes that have reached the simulated Monite.
writes() { curl --silent "$simulator/_sim/stats" | tr ',{}' '\n' | sed -n 's/^ *"POST \/v1\/tags": *//p'; }

# recipe NAME TOOL VERSION COMMAND... must print what it did, and have written once.
recipe() {
  name=$1 tool=$2 version=$3
  shift 3
  if ! have "$tool"; then
    echo "skipped  $name: $tool is not installed"
    return
  fi
  before=$(writes)
  got=$("$@" "recipe-$name" 2>"$work/err")
  if [ "$got" = "created and read recipe-$name" ] && [ "$(writes)" = $((${before:-0} + 1)) ]; then
    echo "ok       $name ($($version 2>&1 | head -n 1))"
  else
    echo "FAILED   $name: $got, $(writes) writes after ${before:-0}"
    sed 's/^/         | /' "$work/err"
    failed=1
  fi
}

recipe curl curl 'curl --version' sh curl/client.sh
recipe php php 'php --version' php php/client.php
recipe java java 'java --version' java java/Client.java
recipe python python3 'python3 --version' python3 python/client.py
recipe node node 'node --version' node node/client.mjs
if have dotnet; then
  recipe dotnet dotnet 'dotnet --version' dotnet run --project dotnet
else
  echo 'skipped  dotnet: dotnet is not installed; the recipe has not been run'
fi

if have nginx; then
  mkdir -p "$work/nginx"
  # Its own addresses are fixed; here they are whatever is free.
  sed "s/127.0.0.1:8080/$address/; s|listen .*;|listen unix:$work/nginx/sock;|; s|^pid.*|pid $work/nginx/pid;|" nginx/nginx.conf >"$work/nginx/nginx.conf"
  nginx -p "$work/nginx" -c "$work/nginx/nginx.conf" -g 'daemon off;' 2>"$work/nginx/log" &
  nginx=$!
  for _ in $(seq 100); do [ -S "$work/nginx/sock" ] && break; sleep 0.05; done
  curl_through_nginx() { curl --unix-socket "$work/nginx/sock" "$@"; }
  code=$(curl_through_nginx --silent --output /dev/null --write-out '%{http_code}' http://localhost/monite/entities?limit=1)
  browser=$(curl_through_nginx --silent --output /dev/null --write-out '%{http_code}' --header 'Sec-Fetch-Site: cross-site' http://localhost/monite/entities)
  rebound=$(curl_through_nginx --silent --output /dev/null --write-out '%{http_code}' http://rebound.example/monite/entities)
  if [ "$code" = 200 ] && [ "$browser" = 403 ] && [ "$rebound" = 421 ]; then
    echo "ok       behind nginx ($(nginx -v 2>&1)); a browser's request is refused there too"
  else
    echo "FAILED   behind nginx: answered $code, a browser $browser, another name $rebound; want 200, 403 and 421"
    sed 's/^/         | /' "$work/nginx/log"
    failed=1
  fi
  kill $nginx 2>/dev/null
  wait $nginx 2>/dev/null
else
  echo 'skipped  behind nginx: nginx is not installed'
fi

if have systemd-analyze; then
  mkdir -p "$work/units/invoicing.service.d"
  cp ../systemd/monite-proxy.* vm/invoicing.service "$work/units"
  cp vm/monite.conf "$work/units/invoicing.service.d"
  sed -i 's|^ExecStart=/usr/bin/monite-proxy|ExecStart=/bin/true|' "$work/units/monite-proxy.service"
  # Found there and nowhere else, so that a unit that does not exist is an error.
  if SYSTEMD_UNIT_PATH="$work/units:" systemd-analyze verify "$work/units/invoicing.service" >"$work/err" 2>&1 && [ ! -s "$work/err" ]; then
    echo "ok       on a machine with systemd (systemd-analyze verify of the app's service with its drop-in)"
  else
    echo "FAILED   on a machine with systemd"
    sed 's/^/         | /' "$work/err"
    failed=1
  fi
else
  echo 'skipped  on a machine with systemd: systemd-analyze is not installed'
fi
echo 'skipped  ecs, cloud-run: configuration to copy, not run here'
exit "$failed"
