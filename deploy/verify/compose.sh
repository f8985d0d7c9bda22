# shellcheck shell=sh disable=SC2154
# Sourced by verify.sh: the compose files, read by docker compose or by the library it is made of; and brought up.

# docker_compose is the plugin, or the same program alone. Version 1 (Debian's) is another one.
docker_compose() {
  if docker compose version >/dev/null 2>&1; then docker compose "$@"; else docker-compose "$@"; fi
}
compose_version() { docker_compose version --short 2>/dev/null | sed -n 's/^v*\([2-9].*\)/\1/p'; }

compose() {
  if [ -n "$(compose_version)" ]; then
    reader="docker compose $(compose_version) config"
    read_compose() { docker_compose --profile "*" "$@" config -q; }
  elif tool composecheck "github.com/compose-spec/compose-go/v2@$COMPOSE_GO"; then
    reader="compose-go $COMPOSE_GO, the library of docker compose"
    read_compose() { "$work/bin/composecheck" "$@"; }
  else
    skipped "compose files: no docker compose, and compose-go $COMPOSE_GO does not build: $(why)"
    return
  fi
  sed 's/condition: service_healthy/condition: service_health/' docker-compose.yml >"$work/broken.yml"
  real() { read_compose --env-file "$1" -f docker-compose.yml -f deploy/compose/real.yml; }
  # As people do it: everything from the file of variables. With the simulator in, real.yml was not read.
  dotenv() { read_compose --env-file "$1" && ! sed 's/real.yml/missing.yml/' "$1" | { cat >"$work/env"; read_compose --env-file "$work/env"; } 2>/dev/null; }
  if read_compose -f "$work/broken.yml" >"$log" 2>&1; then
    fail "compose files: a misspelt condition was accepted ($reader)"
  elif real /dev/null >"$log" 2>&1; then
    fail "compose files: real.yml was accepted without the paths of the credentials ($reader)"
  elif read_compose -f docker-compose.yml >"$log" 2>&1 && dotenv .env.example >"$log" 2>&1; then
    ok "compose files: demo with its profile, and .env.example with real.yml ($reader)"
  else
    fail "compose files ($reader)"
  fi
  if ! have promtool; then
    skipped "compose files, prometheus.yml: promtool is not installed (Debian: prometheus)"
  elif sed 's/scrape_configs/scrape_config/' deploy/compose/prometheus.yml >"$work/prometheus.yml" && promtool check config "$work/prometheus.yml" >"$log" 2>&1; then
    fail "compose files, prometheus.yml: a misspelt key was accepted"
  elif promtool check config deploy/compose/prometheus.yml >"$log" 2>&1; then
    ok "compose files, prometheus.yml (promtool check config)"
  else
    fail "compose files, prometheus.yml"
  fi
}

# curl_image makes what the demo app needs, under the name of the image that it asks for: this machine's curl and a shell.
curl_image() {
  mkdir -p "$work/curl/bin" && cp "$(command -v busybox)" "$work/curl/bin/busybox" &&
    ln -s busybox "$work/curl/bin/sh" && ln -s busybox "$work/curl/bin/sleep" &&
    ldd "$(command -v curl)" | grep -o '/[^ ]*' | xargs cp --parents --dereference --target-directory "$work/curl" "$(command -v curl)" &&
    c=$(b from scratch) && b copy -q "$c" "$work/curl" / && b commit -q "$c" "docker.io/$curl_image"
}

# up runs docker compose against podman, with the containers' limits in reach of this shell.
up() { DOCKER_HOST=unix://$work/podman.sock docker_compose -f docker-compose.yml -f "$work/limits.yml" "$@"; }

# healths asks for every container's health as an engine would: podman leaves that to systemd.
healths() {
  while sleep 0.5; do
    for container in $(p ps --quiet); do p healthcheck run "$container"; done
  done >/dev/null 2>&1
}

demo() {
  if [ -z "$(compose_version)" ]; then
    skipped "compose demo: no docker compose (make deploy-tools DEPLOY_TOOLS=docker-compose builds $COMPOSE)"
    return
  fi
  have curl || { skipped "compose demo: curl is not installed"; return; }
  engine || { skipped "compose demo: $reason"; return; }
  curl_image=$(sed -n 's/^ *image: \(curlimages.*\)/\1/p' docker-compose.yml)
  if ! curl_image >"$log" 2>&1 || ! p tag localhost/monite-proxy:verify docker.io/library/monite-proxy:local ||
    ! p tag localhost/monite-sim:verify docker.io/library/monite-sim:local; then
    fail "compose demo: images"
    return
  fi
  {
    echo 'services:'
    for service in app monite-proxy monite-sim; do printf '  %s: {ulimits: {nproc: 1024, nofile: 1024}}\n' $service; done
  } >"$work/limits.yml"
  # A sidecar that Monite refuses must be said to be unhealthy, and the app must not start.
  printf 'services: {monite-sim: {environment: {MONITE_SIM_CLIENT_SECRET: other}}, monite-proxy: {healthcheck: {start_period: 2s}}}\n' >"$work/refused.yml"
  healths &
  healths_pid=$!
  if up -f "$work/refused.yml" up --detach --wait --wait-timeout 120 --no-build --pull never >"$log" 2>&1; then
    fail "compose demo: healthy with a wrong secret"
  elif ! grep -q 'monite-proxy.* is unhealthy' "$log" || up logs app 2>/dev/null | grep -q GET; then
    fail "compose demo: with a wrong secret"
  elif ! up down >"$log" 2>&1; then
    fail "compose demo: down"
  else
    begin=$(date +%s)
    if ! up up --detach --wait --wait-timeout 120 --no-build --pull never >"$log" 2>&1; then
      up logs >>"$log" 2>&1
      fail "compose demo: up --wait"
    elif seconds=$(($(date +%s) - begin)) && ! until_true 30 answered 1; then
      up logs >"$log" 2>&1
      fail "compose demo: the app got no answer"
    elif ! elsewhere http://monite-sim:8090/; then
      fail "compose demo: a container on the same network reaches nobody"
    elif elsewhere http://app:8080/v1/entities || elsewhere http://monite-proxy:8081/livez; then
      fail "compose demo: a container on the same network reaches the sidecar"
    elif before=$(answers) && ! up restart --timeout 35 monite-proxy >"$log" 2>&1 || ! until_true 60 answered "$before"; then
      up logs >"$log" 2>&1
      fail "compose demo: the app after a restart of the sidecar"
    elif ! up stop --timeout 35 >"$log" 2>&1 || ! p ps --all --format '{{.Names}} {{.ExitCode}}' >"$log" || grep -qv ' 0$' "$log"; then
      fail "compose demo: stop, exit statuses"
    elif ! up down >"$log" 2>&1 || [ -n "$(p ps --all --quiet)" ]; then
      fail "compose demo: down"
    else
      ok "compose demo (docker compose $(compose_version) against podman, stand-in for curl's image; healthy after $seconds s, the app's requests answered 200, after a restart of the sidecar too, its ports closed to other containers, exit statuses 0; with a wrong secret no app)"
    fi
  fi
  kill "$healths_pid"
  healths_pid=''
}
answers() { up logs app 2>/dev/null | grep -c -- '-> 200'; }
# answered N: by now the app has had more than N.
answered() { [ "$(answers)" -gt "$1" ]; }
# elsewhere asks from a container of its own on the demo's network.
elsewhere() {
  p run --rm --network monite-proxy_default --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --entrypoint curl \
    "docker.io/$curl_image" --silent --max-time 5 --output /dev/null "$1" >/dev/null 2>&1
}
