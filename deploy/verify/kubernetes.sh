# shellcheck shell=sh disable=SC2154
# Sourced by verify.sh: everything for Kubernetes that can be judged without a cluster.

validating='' # set once validate can be called

# schemas makes the validate command: strict, against the API description of one Kubernetes release.
schemas() {
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
  validating=1
}

manifests() {
  [ -n "$validating" ] || return
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

# rendered FILE WHAT judges what a tool has written: schemas, and the rules of the house.
rendered() {
  if [ -n "$validating" ] && ! validate "$1" >"$log" 2>&1; then
    fail "$2: schemas"
  elif ! RENDERED=$1 go test ./internal/deploytest -count=1 -run '^TestRendered$' >"$log" 2>&1; then
    fail "$2: house rules"
  else
    ok "$2 ($3, ${validating:+kubeconform -strict, }house rules)"
  fi
}

kustomization() {
  if have kubectl; then
    by="kubectl kustomize $(kubectl version --client 2>/dev/null | sed -n 's/^Kustomize Version: //p')"
    kustomize() { kubectl kustomize "$1"; }
  elif tool kustomize "sigs.k8s.io/kustomize/api@$KUSTOMIZE"; then
    by="kustomize $KUSTOMIZE as a library"
    kustomize() { "$work/bin/kustomize" "$1"; }
  else
    skipped "kustomize component: no kubectl, and kustomize $KUSTOMIZE does not build: $(why)"
    return
  fi
  if ! kustomize deploy/kustomize/example >"$work/kustomize.yaml" 2>"$log"; then
    fail "kustomize component ($by)"
    return
  fi
  # Four of the five workloads carry the label.
  got=$(grep -c '^ *- name: monite-no-token$\|^ *name: monite-no-token$' "$work/kustomize.yaml")
  if [ "$got" != 8 ]; then # a volume and a mount each
    fail "kustomize component: $got places name the sidecar's volume, want 8"
    return
  fi
  rendered "$work/kustomize.yaml" "kustomize component, in a Deployment, StatefulSet, Job and CronJob" "$by"
}
