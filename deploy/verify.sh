#!/bin/sh
# Checks what people deploy with, by the tools it is made for, as far as those are at hand. One line per check: ok,
# skipped with the reason, or FAILED. The exit status is 1 if a check FAILED.
#
#   deploy/verify.sh              use what is there
#   deploy/verify.sh chart demo   these alone, and what they need: the names at the end of this file
#   deploy/verify.sh --install    first install what Debian has (needs root): buildah, podman, runc, etcd, busybox
#
# Needs Go. No container engine, no cluster: where podman and kube-apiserver are at hand they are started for the check, on
# loopback addresses, and stopped again. The Go tools are built in a temporary folder that is removed again; the
# first run downloads their modules. Checks that can be fooled are shown one broken file first, and must refuse it.
# shellcheck disable=SC2317 # the checks are called by name
set -u
cd "$(dirname "$0")/.." || exit 1

. deploy/verify/versions.sh

failed=0
ok()      { printf 'ok       %s\n' "$*"; }
skipped() { printf 'skipped  %s\n' "$*"; }
# FAILED prints the log under the line.
fail()    { printf 'FAILED   %s\n' "$*"; [ -s "$log" ] && sed 's/^/         | /' "$log"; failed=1; }
have()    { command -v "$1" >/dev/null 2>&1; }

# until_true SECONDS COMMAND... asks five times a second.
until_true() {
  tries=$(($1 * 5))
  shift
  until "$@" >/dev/null 2>&1; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || return 1
    sleep 0.2
  done
}

# Tools that "make deploy-tools" has built come first.
PATH=$PWD/.tools:$PATH

work=$(mktemp -d) || exit 1
log=$work/log
: >"$log"
# Credentials for registries are of no use here, and a DOCKER_CONFIG without config.json makes buildah give up.
b() { env -u DOCKER_CONFIG -u REGISTRY_AUTH_FILE TMPDIR="$work/tmp" buildah --root "$work/storage" --runroot "$work/run" --storage-driver "$driver" "$@"; }
# shellcheck disable=SC2317 # called by the trap
cleanup() {
  stop_engine
  stop_apiserver
  if [ -d "$work/storage" ]; then
    b umount --all >/dev/null 2>&1
    b rm --all >/dev/null 2>&1
    awk -v work="$work/" 'index($2, work) == 1 {print $2}' /proc/self/mounts | sort -r | xargs -r umount >/dev/null 2>&1
  fi
  chmod -R u+w "$work" 2>/dev/null
  rm -rf "$work"
}
driver=overlay
trap cleanup EXIT
trap 'exit 130' INT TERM

if [ "${1:-}" = --install ]; then
  shift
  if have apt-get && [ "$(id -u)" = 0 ]; then
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends \
      buildah busybox-static podman runc netavark aardvark-dns iptables etcd-server; } >"$log" 2>&1 ||
      fail "install from Debian"
  else
    skipped "install from Debian: needs apt-get and root"
  fi
fi

# tool NAME MODULE@VERSION builds deploy/verify/NAME.go in a module of its own, so that what it needs never
# enters this repository's go.mod.
tool() {
  mkdir -p "$work/$1" && cp "deploy/verify/$1.go" "$work/$1/" &&
    printf 'module verify\n\ngo 1.26\n' >"$work/$1/go.mod" &&
    (cd "$work/$1" && export CGO_ENABLED=0 GOFLAGS=-mod=mod GOWORK=off && { [ -z "${2:-}" ] || go get "$2"; } && go build -o "$work/bin/$1" "$1.go") >"$log" 2>&1
}
why() { tail -n 1 "$log"; }

rules() {
  if go test ./internal/deploytest >"$log" 2>&1; then ok "house rules (go test ./internal/deploytest)"; else fail "house rules"; fi
}

. deploy/verify/compose.sh
. deploy/verify/kubernetes.sh
. deploy/verify/apiserver.sh
. deploy/verify/images.sh
. deploy/verify/engine.sh
. deploy/verify/packages.sh

have go || { echo 'FAILED   Go is not installed'; exit 1; }
# needs runs a check once, for whoever comes first.
begun=' '
needs() { case $begun in *" $1 "*) ;; *) begun="$begun$1 " && "$1" ;; esac; }
[ $# -gt 0 ] || set -- rules compose manifests kustomization chart policy stored apiserver systemd release scripts recipes \
  lint images contained demo
for check; do needs "$check"; done
exit "$failed"
