#!/bin/sh
# Builds what verify.sh uses and is a Go module, at pinned versions, into .tools. Each takes from seconds to minutes; what
# is there already is left alone.
#
#   deploy/verify/tools.sh [kubeconform actionlint helm-docs helm helm-unittest policyeval kubevalidate goreleaser
#                           cyclonedx-gomod cosign docker-compose kube-apiserver]
#
# Without a name: all but the last three. kube-apiserver takes a quarter of an hour of processor time or more; it needs
# etcd beside it (Debian: etcd-server), and kubectl.
set -eu
cd "$(dirname "$0")/../.."
. deploy/verify/versions.sh
tools=$PWD/.tools
mkdir -p "$tools"
export GOBIN="$tools" GOTOOLCHAIN=local GOWORK=off GOFLAGS=-mod=mod CGO_ENABLED=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# module makes a throw-away module, and is in it.
module() {
  mkdir "$work/$1" && cd "$work/$1" && printf 'module verify\n\ngo 1.26\n' >go.mod
}

# kubernetes makes a throw-away module that can build Kubernetes itself: its own module replaces its libraries by folders
# that are not in it.
kubernetes() {
  module "$1"
  dir=$(go mod download -json "k8s.io/kubernetes@$KUBERNETES" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  go mod edit -require "k8s.io/kubernetes@$KUBERNETES"
  sed -n 's/^\t\(k8s.io[^ ]*\) => .\/staging.*/\1/p' "$dir/go.mod" | while read -r library; do
    go mod edit -replace "$library=$library@$KUBERNETES_LIBRARIES"
  done
}

build() {
  case $1 in
  kubeconform) go install "github.com/yannh/kubeconform/cmd/kubeconform@$KUBECONFORM" ;;
  actionlint) go install "github.com/rhysd/actionlint/cmd/actionlint@$ACTIONLINT" ;;
  helm-docs) go install "github.com/norwoodj/helm-docs/cmd/helm-docs@$HELM_DOCS" ;;
  helm) go install -ldflags "-X helm.sh/helm/v3/internal/version.version=$HELM" "helm.sh/helm/v3/cmd/helm@$HELM" ;;
  cyclonedx-gomod) go install "github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$CYCLONEDX" ;;
  cosign) go install "github.com/sigstore/cosign/v3/cmd/cosign@$COSIGN" ;;
  goreleaser) go install "github.com/goreleaser/goreleaser/v2@$GORELEASER" ;;
  helm-unittest) (
    # Its go.mod replaces a module, which go install refuses.
    module "$1"
    go mod edit -replace github.com/vmware-labs/yaml-jsonpath@v0.3.2=github.com/helm-unittest/yaml-jsonpath@v0.4.0
    go get "github.com/helm-unittest/helm-unittest@$HELM_UNITTEST"
    go build -o "$tools/helm-unittest" github.com/helm-unittest/helm-unittest/cmd/helm-unittest
  ) ;;
  policyeval) (
    source=$PWD/deploy/verify/policyeval.go
    module "$1"
    cp "$source" .
    go get "k8s.io/apiserver@$KUBERNETES_LIBRARIES" "k8s.io/client-go@$KUBERNETES_LIBRARIES" sigs.k8s.io/yaml
    go build -o "$tools/policyeval" policyeval.go
  ) ;;
  kubevalidate) (
    source=$PWD/deploy/verify/kubevalidate.go
    kubernetes "$1"
    sed '/^.*go:build ignore/d' "$source" >main.go
    go mod tidy
    go build -o "$tools/kubevalidate" .
  ) ;;
  docker-compose) (
    module "$1"
    # A module's own exclusions do not hold for who requires it, and without them its dependencies do not fit together.
    dir=$(go mod download -json "github.com/docker/compose/v5@$COMPOSE" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
    sed -n '/^exclude (/,/^)/p' "$dir/go.mod" >>go.mod
    go get "github.com/docker/compose/v5/cmd@$COMPOSE"
    go build -ldflags "-s -w -X github.com/docker/compose/v5/internal.Version=$COMPOSE" \
      -o "$tools/docker-compose" github.com/docker/compose/v5/cmd
  ) ;;
  kube-apiserver) (
    kubernetes "$1"
    # Without a version the server calls itself v0.0.0-master, and clients refuse it.
    v=k8s.io/component-base/version
    minor=${KUBERNETES#v1.}
    go build -p 1 -ldflags "-s -w -X $v.gitVersion=$KUBERNETES -X $v.gitMajor=1 -X $v.gitMinor=${minor%%.*}" \
      -o "$tools/kube-apiserver" k8s.io/kubernetes/cmd/kube-apiserver
  ) ;;
  *)
    echo "no tool $1" >&2
    exit 2
    ;;
  esac
}

[ $# -gt 0 ] || set -- kubeconform actionlint helm-docs policyeval kubevalidate helm helm-unittest goreleaser cyclonedx-gomod
for name; do
  if [ -x "$tools/$name" ]; then
    echo "$name: there"
  else
    echo "$name: building"
    build "$name" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
  fi
done
