# shellcheck shell=sh disable=SC2154
# Sourced by verify.sh: the Dockerfile, and the images built from it without an engine.

built='' # the images that are there

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
  golang=$(sed -n 's/^FROM .*\(golang:[^ @]*\).* AS .*/\1/p' Dockerfile)
  distroless=$(sed -n 's/^FROM \(gcr[^ @]*\).* AS .*/\1/p' Dockerfile)
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
    built="$built $2"
    ok "image $2 (buildah, the Dockerfile as it is but for the digests, on stand-in bases; $(($(wc -c <"$dir/$2") / 1000)) kB, same bytes as built outside)"
  fi
}

images() {
  have buildah || { skipped "images: buildah is not installed (deploy/verify.sh --install)"; return; }
  have busybox || { skipped "images: busybox is not installed (deploy/verify.sh --install)"; return; }
  [ "$(id -u)" = 0 ] || { skipped "images: buildah needs root here"; return; }
  mkdir -p "$work/tmp" "$work/bin" "$work/src"
  # A snapshot: an edit between the two builds of the same source would look like a difference in the image.
  tar -cf - --exclude=./.git --exclude=node_modules . | tar -xf - -C "$work/src"
  # The stand-ins have other digests than the real images.
  sed -i 's/@sha256:[0-9a-f]*//' "$work/src/Dockerfile"
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
