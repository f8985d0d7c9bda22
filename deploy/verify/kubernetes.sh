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
  needs schemas
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
  needs schemas
  if [ -n "$validating" ] && ! validate -skip ServiceMonitor,PrometheusRule "$1" >"$log" 2>&1; then
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
  three_lines
}

# three_lines does what README.md shows: a Deployment as it stood before, three lines, and the result.
three_lines() {
  cp -r deploy/kustomize "$work/kustomize"
  sample=$work/kustomize/three-lines
  if kustomize "$sample" 2>"$log" | diff - "$sample/result.yaml" >"$log"; then
    fail "three lines: the same result without them"
  elif ! patch --silent --strip 1 --directory "$sample" <"$sample/three-lines.diff" >"$log" 2>&1 ||
    ! kustomize "$sample" >"$work/three-lines.yaml" 2>"$log" || ! diff "$sample/result.yaml" "$work/three-lines.yaml" >"$log"; then
    fail "three lines: not the result that is shown"
  elif [ -n "$validating" ] && ! validate "$work/three-lines.yaml" >"$log" 2>&1; then
    fail "three lines: schemas"
  else
    ok "three lines, from a Deployment to one with the sidecar ($by${validating:+, kubeconform -strict})"
  fi
}

# stored judges everything that a cluster would be given by what the API server does with it before it stores it.
stored() {
  if ! have kubevalidate; then
    skipped "Kubernetes' own validation: kubevalidate is not built (make deploy-tools)"
    return
  fi
  needs kustomization
  needs chart
  needs policy
  set -- deploy/kubernetes/*.yaml deploy/policy/*.yaml
  for f in kustomize three-lines gateway library pod; do
    [ -s "$work/$f.yaml" ] && set -- "$@" "$work/$f.yaml"
  done
  # Mistakes that no schema shows.
  if sed '/^      volumes:/,$s/name: monite-credentials/name: other/' deploy/kubernetes/native-sidecar.yaml >"$work/broken.yaml" &&
    kubevalidate "$work/broken.yaml" >"$log" 2>&1; then
    fail "Kubernetes' own validation: a mount without its volume was accepted"
  elif sed 's/allowPrivilegeEscalation: false/allowPrivilegeEscalation: true/' deploy/policy/pod.yaml >"$work/broken.yaml" && kubevalidate "$work/broken.yaml" >"$log" 2>&1; then
    fail "Kubernetes' own validation: a pod against the standard restricted was accepted"
  elif sed 's/variables.image/variables.picture/' deploy/policy/inject.yaml >"$work/broken.yaml" && kubevalidate "$work/broken.yaml" >"$log" 2>&1; then
    fail "Kubernetes' own validation: an expression with an unknown variable was accepted"
  elif kubevalidate "$@" >"$log" 2>&1; then
    ok "Kubernetes' own validation, and Pod Security restricted, $KUBERNETES ($(tail -n 1 "$log") in $# files)"
  else
    fail "Kubernetes' own validation"
  fi
}

# h renders for the release that the schemas are of.
h() { helm template --kube-version "${KUBERNETES#v}" "$@"; }

chart() {
  c=deploy/helm/monite-proxy
  if ! have helm; then
    skipped "helm chart: helm is not installed (make deploy-tools builds $HELM)"
    return
  fi
  helm_version="helm $(helm version --template '{{.Version}}' 2>/dev/null)"
  monitoring="--set monitoring.serviceMonitor.enabled=true --set monitoring.prometheusRule.enabled=true --set monitoring.dashboard.enabled=true"
  sharing="--set redis.url=rediss://user@cache:6380/0 --set redis.passwordKey=redis_password --set redis.caKey=redis_ca"
  # shellcheck disable=SC2086
  if h x $c --set gateway.replicas=0 >"$log" 2>&1 || h x $c --set existingSecrets=x >"$log" 2>&1; then
    fail "helm chart: values that its schema forbids were accepted"
  elif ! helm lint --strict $c >"$log" 2>&1; then
    fail "helm chart: helm lint --strict"
  elif ! h monite-proxy $c --namespace billing --set autoscaling.enabled=true >"$work/gateway.yaml" 2>"$log" ||
    ! h monite-proxy $c --namespace billing --set autoscaling.enabled=true $monitoring $sharing \
      --set-file monitoring.prometheusRule.rules=deploy/observability/rules.yaml \
      --set-file monitoring.dashboard.json=deploy/observability/dashboard.json >"$work/gateway-all.yaml" 2>"$log"; then
    fail "helm chart: helm template"
  elif [ "$(h x $c --set gateway.enabled=false | grep -c '^kind:')" != 0 ]; then
    fail "helm chart: as a dependency it makes objects of its own"
  else
    grep -q 'helm.sh/hook: test' "$work/gateway.yaml" || fail "helm chart: its own test is left out"
    ok "helm chart, lint and schema ($helm_version)"
    rendered "$work/gateway.yaml" "helm chart, gateway" "$helm_version"
    rendered "$work/gateway-all.yaml" "helm chart, gateway with everything on" "$helm_version"
  fi
  cp -r deploy/helm "$work/helm" # dependency build writes
  if ! helm dependency build "$work/helm/example" >"$log" 2>&1 || ! h invoicing "$work/helm/example" >"$work/library.yaml" 2>"$log"; then
    fail "helm chart in a chart of one's own"
  else
    rendered "$work/library.yaml" "helm chart, container in a chart of one's own" "$helm_version"
  fi
  if ! have helm-unittest; then
    skipped "helm chart, unit tests: helm-unittest is not installed (make deploy-tools builds $HELM_UNITTEST)"
  elif helm-unittest $c >"$log" 2>&1; then
    ok "helm chart, unit tests ($(sed -n 's/^Tests: *//p' "$log"))"
  else
    fail "helm chart, unit tests"
  fi
  if ! have helm-docs; then
    skipped "helm chart, README: helm-docs is not installed (make deploy-tools builds $HELM_DOCS)"
  elif ! helm-docs -c "$work/helm/monite-proxy" -s file >"$log" 2>&1 || ! diff "$work/helm/monite-proxy/README.md" $c/README.md >"$log"; then
    fail "helm chart, README: not what helm-docs writes"
  else
    ok "helm chart, README as helm-docs $HELM_DOCS writes it"
  fi
}

# shared_pods_stay_alone has the policy judge pods in which nothing would be left between the sidecar and others.
shared_pods_stay_alone() {
  for field in hostNetwork hostPID shareProcessNamespace; do
    sed "s/^spec:/spec:\n  $field: true/" deploy/policy/pod.yaml >"$work/shared.yaml"
    grep -q "$field: true" "$work/shared.yaml" && policyeval deploy/policy/inject.yaml "$work/shared.yaml" >"$work/left.yaml" 2>"$log" &&
      ! grep -q 'name: monite-proxy$' "$work/left.yaml" || return 1
  done
}

policy() {
  needs schemas
  if [ -n "$validating" ]; then
    if sed 's/failurePolicy/failPolicy/' deploy/policy/inject.yaml | validate - >"$log" 2>&1; then
      fail "admission policy: a misspelt field was accepted"
    elif validate deploy/policy/inject.yaml >"$log" 2>&1; then
      ok "admission policy (kubeconform -strict, Kubernetes $KUBERNETES)"
    else
      fail "admission policy"
    fi
  fi
  if ! have policyeval; then
    skipped "admission policy on a pod: policyeval is not built (make deploy-tools)"
  elif ! policyeval deploy/policy/inject.yaml deploy/policy/pod.yaml >"$work/pod.yaml" 2>"$log"; then
    fail "admission policy on a pod"
  elif policyeval deploy/policy/inject.yaml "$work/pod.yaml" >"$work/again.yaml" 2>"$log" && ! cmp -s "$work/pod.yaml" "$work/again.yaml"; then
    fail "admission policy: a pod that has the sidecar gets another"
  elif ! sed 's/monite-proxy.inject: .*/other: label/' deploy/policy/pod.yaml >"$work/unlabelled.yaml" ||
    policyeval deploy/policy/inject.yaml "$work/unlabelled.yaml" | grep -q monite-proxy; then
    fail "admission policy: a pod without the label gets the sidecar"
  elif ! shared_pods_stay_alone; then
    fail "admission policy: a pod that shares its network or its processes gets the sidecar"
  else
    rendered "$work/pod.yaml" "admission policy on a labelled pod" "the API server's own evaluation, $KUBERNETES"
  fi
}
