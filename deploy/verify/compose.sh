# shellcheck shell=sh disable=SC2154
# Sourced by verify.sh: the compose files, read by docker compose or by the library it is made of.

compose() {
  if docker compose version >/dev/null 2>&1; then
    reader="docker compose $(docker compose version --short 2>/dev/null) config"
    read_compose() { docker compose "$@" config -q; }
  elif tool composecheck "github.com/compose-spec/compose-go/v2@$COMPOSE_GO"; then
    reader="compose-go $COMPOSE_GO, the library of docker compose"
    read_compose() { "$work/bin/composecheck" "$@"; }
  else
    skipped "compose files: no docker compose, and compose-go $COMPOSE_GO does not build: $(why)"
    return
  fi
  sed 's/condition: service_healthy/condition: service_health/' docker-compose.yml >"$work/broken.yml"
  real() { read_compose --env-file "$1" -f docker-compose.yml -f deploy/compose/real.yml; }
  if read_compose -f "$work/broken.yml" >"$log" 2>&1; then
    fail "compose files: a misspelt condition was accepted ($reader)"
  elif real /dev/null >"$log" 2>&1; then
    fail "compose files: real.yml was accepted without the paths of the credentials ($reader)"
  elif read_compose -f docker-compose.yml >"$log" 2>&1 && real deploy/compose/real.env.example >"$log" 2>&1; then
    ok "compose files: demo and real.yml ($reader)"
  else
    fail "compose files ($reader)"
  fi
}
