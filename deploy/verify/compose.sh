# shellcheck shell=sh disable=SC2154
# Sourced by verify.sh: the compose files, read by docker compose or by the library it is made of.

compose() {
  if docker compose version >/dev/null 2>&1; then
    reader="docker compose $(docker compose version --short 2>/dev/null) config"
    read_compose() { docker compose --profile "*" "$@" config -q; }
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
