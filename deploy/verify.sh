#!/bin/sh
# Checks the Dockerfile, docker-compose.yml and the manifests with the tools they are made for, as far as those are
# at hand. One line per check: ok, skipped with the reason, or FAILED. The exit status is 1 if a check FAILED.
#
#   deploy/verify.sh              use what is there
#   deploy/verify.sh --install    first install what Debian has (needs root): buildah, busybox-static
#
# Needs Go. No container engine, no cluster. The Go tools are built in a temporary folder that is removed again; the
# first run downloads their modules. Checks that can be fooled are shown one broken file first, and must refuse it.
set -u
cd "$(dirname "$0")/.." || exit 1

KUBECONFORM=v0.8.0
KUBERNETES=v1.36.2
COMPOSE_GO=v2.16.2
BUILDKIT=v0.34.2

failed=0
ok()      { printf 'ok       %s\n' "$*"; }
skipped() { printf 'skipped  %s\n' "$*"; }
# FAILED prints the log under the line.
fail()    { printf 'FAILED   %s\n' "$*"; [ -s "$log" ] && sed 's/^/         | /' "$log"; failed=1; }
have()    { command -v "$1" >/dev/null 2>&1; }

work=$(mktemp -d) || exit 1
log=$work/log
: >"$log"
# Credentials for registries are of no use here, and a DOCKER_CONFIG without config.json makes buildah give up.
b() { env -u DOCKER_CONFIG -u REGISTRY_AUTH_FILE TMPDIR="$work/tmp" buildah --root "$work/storage" --runroot "$work/run" --storage-driver "$driver" "$@"; }
# shellcheck disable=SC2317 # called by the trap
cleanup() {
  if [ -d "$work/storage" ]; then
    b umount --all >/dev/null 2>&1
    b rm --all >/dev/null 2>&1
    umount "$work/storage/overlay" >/dev/null 2>&1
  fi
  chmod -R u+w "$work" 2>/dev/null
  rm -rf "$work"
}
driver=overlay
trap cleanup EXIT
trap 'exit 130' INT TERM

if [ "${1:-}" = --install ]; then
  if have apt-get && [ "$(id -u)" = 0 ]; then
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends buildah busybox-static; } >"$log" 2>&1 ||
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
    (cd "$work/$1" && export GOFLAGS=-mod=mod GOWORK=off && { [ -z "${2:-}" ] || go get "$2"; } && go build -o "$work/bin/$1" "$1.go") >"$log" 2>&1
}
why() { tail -n 1 "$log"; }

rules() {
  if go test ./internal/deploytest >"$log" 2>&1; then ok "house rules (go test ./internal/deploytest)"; else fail "house rules"; fi
}

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

manifests() {
  conform=$(command -v kubeconform || true)
  if [ -z "$conform" ]; then
    if ! GOBIN=$work/bin GOFLAGS=-mod=mod go install "github.com/yannh/kubeconform/cmd/kubeconform@$KUBECONFORM" >"$log" 2>&1; then
      skipped "manifests: kubeconform is not installed, and $KUBECONFORM does not build: $(why)"
      return
    fi
    conform=$work/bin/kubeconform
  fi
  mkdir -p "$work/k8s" "$work/schemas"
  printf 'module verify\n\ngo 1.26\n' >"$work/k8s/go.mod"
  dir=$(cd "$work/k8s" && go mod download -json "k8s.io/kubernetes@$KUBERNETES" 2>"$log" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  if [ -z "$dir" ]; then
    skipped "manifests: the Kubernetes $KUBERNETES API description is not reachable: $(why)"
    return
  fi
  if ! tool kubeschemas || ! "$work/bin/kubeschemas" "$dir/api/openapi-spec/swagger.json" "$work/schemas" >"$log" 2>&1; then
    fail "manifests: schemas"
    return
  fi
  validate() { "$conform" -strict -schema-location "$work/schemas/{{ .ResourceKind }}{{ .KindSuffix }}.json" "$@"; }
  for f in deploy/kubernetes/*.yaml; do
    if sed 's/readOnlyRootFilesystem/readOnlyRootFileSystem/' "$f" | validate - >"$log" 2>&1; then
      fail "manifest $f: a misspelt field was accepted"
    elif sed 's/containerPort: 8081/containerPort: "8081"/' "$f" | validate - >"$log" 2>&1; then
      fail "manifest $f: a port in quotes was accepted"
    elif validate "$f" >"$log" 2>&1; then
      ok "manifest $f (kubeconform -strict, Kubernetes $KUBERNETES)"
    else
      fail "manifest $f"
    fi
  done
}

lint() {
  if ! tool dockerlint "github.com/moby/buildkit@$BUILDKIT"; then
    skipped "Dockerfile lint: BuildKit $BUILDKIT does not build: $(why)"
    return
  fi
  sed 's|^ENTRYPOINT.*|ENTRYPOINT /monite-proxy|' Dockerfile >"$work/Dockerfile.broken"
  if "$work/bin/dockerlint" "$work/Dockerfile.broken" >"$log" 2>&1; then
    fail "Dockerfile lint: an ENTRYPOINT in shell form was accepted"
  elif "$work/bin/dockerlint" Dockerfile >"$log" 2>&1; then
    ok "Dockerfile lint (BuildKit $BUILDKIT, the rules of docker build --check)"
  else
    fail "Dockerfile lint"
  fi
}

# bases makes local stand-ins under the real names of the base images: this machine's Go and module cache in place of
# golang, root certificates in place of distroless. The Dockerfile itself is built unchanged.
bases() {
  golang=$(sed -n 's/^FROM .*\(golang:[^ ]*\) AS .*/\1/p' Dockerfile)
  distroless=$(sed -n 's/^FROM \(gcr[^ ]*\) AS .*/\1/p' Dockerfile)
  c=$(b from scratch) || return 1
  mkdir -p "$work/rootfs/bin" "$work/rootfs/tmp" "$work/rootfs/usr/local/go" "$work/rootfs/modules" &&
    cp "$(command -v busybox)" "$work/rootfs/bin/busybox" && ln -s busybox "$work/rootfs/bin/sh" &&
    b copy -q "$c" "$work/rootfs" / &&
    b config --env PATH=/usr/local/go/bin:/bin --env GOPATH=/go --env GOTOOLCHAIN=local --env HOME=/root \
      --env GOPROXY=file:///modules --env GOSUMDB=off "$c" &&
    b commit -q "$c" "docker.io/library/$golang" || return 1
  c=$(b from scratch) || return 1
  mkdir -p "$work/distroless/etc/ssl/certs" &&
    cp /etc/ssl/certs/ca-certificates.crt "$work/distroless/etc/ssl/certs/" &&
    printf 'nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' >"$work/distroless/etc/passwd" &&
    b copy -q "$c" "$work/distroless" / && b config --user 65532 "$c" && b commit -q "$c" "$distroless"
}

image() { # image TARGET BINARY
  if ! b bud --format docker --pull-never --isolation chroot --network host \
    --platform "linux/$(go env GOARCH)" --target "$1" --build-arg VERSION=9.9.9 --build-arg COMMIT=abc1234 \
    -v "$(go env GOROOT):/usr/local/go:ro" -v "$(go env GOMODCACHE)/cache/download:/modules:ro" \
    -t "localhost/$2:verify" "$work/src" >"$log" 2>&1; then
    fail "image $2: build"
    return
  fi
  got=$(b inspect --type image --format \
    '{{.Docker.Config.User}} {{printf "%q" .Docker.Config.Entrypoint}} {{printf "%q" .Docker.Config.Healthcheck.Test}} {{index .Docker.Config.Labels "org.opencontainers.image.version"}}' \
    "localhost/$2:verify" 2>"$log")
  case $got in
  "65532:65532 [\"/$2\"] [\"CMD\" \"/$2\" "*"] 9.9.9") ;;
  *)
    fail "image $2: unexpected configuration: $got"
    return
    ;;
  esac
  if ! { c=$(b from --pull-never "localhost/$2:verify") && dir=$(b mount "$c"); }; then
    fail "image $2: mount"
    return
  fi
  # The same source must give the same bytes here, in another folder, as in the image.
  if ! (cd "$work/src" && CGO_ENABLED=0 go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X main.version=9.9.9 -X main.commit=abc1234" -o "$work/bin/$2" "./cmd/$2") >"$log" 2>&1; then
    fail "image $2: build outside the image"
  elif ! cmp -s "$work/bin/$2" "$dir/$2"; then
    fail "image $2: its binary differs from one built here"
  elif ! go version -m "$dir/$2" | grep -q 'CGO_ENABLED=0'; then
    fail "image $2: the binary is not static"
  elif [ -e "$dir/bin" ] || [ "$(find "$dir" -type f | wc -l)" != 3 ]; then
    find "$dir" -type f >"$log"
    fail "image $2: holds more than the base and the binary"
  elif [ "$2" = monite-proxy ] && ! env -i "$dir/$2" version 2>"$log" | grep -q '9\.9\.9'; then
    fail "image $2: version is not stamped"
  else
    ok "image $2 (buildah, unchanged Dockerfile on stand-in bases; $(($(wc -c <"$dir/$2") / 1000)) kB, same bytes as built outside)"
  fi
}

images() {
  have buildah || { skipped "images: buildah is not installed (deploy/verify.sh --install)"; return; }
  have busybox || { skipped "images: busybox is not installed (deploy/verify.sh --install)"; return; }
  [ "$(id -u)" = 0 ] || { skipped "images: buildah needs root here"; return; }
  mkdir -p "$work/tmp" "$work/bin" "$work/src"
  # A snapshot: an edit between the two builds of the same source would look like a difference in the image.
  tar -cf - --exclude=./.git --exclude=node_modules . | tar -xf - -C "$work/src"
  # Overlay does not work on top of every file system; vfs does, slowly.
  if ! { c=$(b from scratch) && b mount "$c"; } >/dev/null 2>&1; then
    driver=vfs
    rm -rf "$work/storage" "$work/run"
  fi
  if ! go mod download >"$log" 2>&1; then
    skipped "images: the modules of this repository are not reachable: $(why)"
    return
  fi
  bases >"$log" 2>&1 || { skipped "images: buildah cannot make the stand-in bases: $(why)"; return; }
  image monite-proxy monite-proxy
  image sim monite-sim
}

have go || { echo 'FAILED   Go is not installed'; exit 1; }
rules
compose
manifests
lint
images
exit "$failed"
