# shellcheck shell=sh disable=SC2154
# Sourced by verify.sh: a real API server is asked, with etcd behind it, in a network namespace of their own. Nothing runs
# the pods: there is no controller and no node.

apiserver_pid=''
etcd_pid=''

k() { nsenter --target "$etcd_pid" --net kubectl --kubeconfig "$work/api/kubeconfig" "$@"; }
# dry has a file judged as if it were applied; a warning, as Pod Security gives for the template in a Deployment, counts.
dry() { k apply --server-side --dry-run=server --validate=strict --warnings-as-errors --namespace billing -f "$1"; }

start_apiserver() {
  mkdir -p "$work/api" && openssl genrsa -out "$work/api/key" 2048 2>"$log" || return 1
  token=$(openssl rand -hex 16)
  echo "$token,admin,admin,system:masters" >"$work/api/tokens.csv"
  cat >"$work/api/kubeconfig" <<END
{apiVersion: v1, kind: Config, current-context: it,
 clusters: [{name: it, cluster: {server: "https://127.0.0.1:6443", insecure-skip-tls-verify: true}}],
 users: [{name: it, user: {token: $token}}], contexts: [{name: it, context: {cluster: it, user: it}}]}
END
  unshare --net sh -c 'ip link set lo up && exec etcd --data-dir "$1"' sh "$work/api/etcd" >"$work/api/etcd.log" 2>&1 &
  etcd_pid=$!
  until_true 10 own_namespace || return 1
  nsenter --target "$etcd_pid" --net kube-apiserver --etcd-servers http://127.0.0.1:2379 --bind-address 127.0.0.1 \
    --advertise-address 127.0.0.1 --endpoint-reconciler-type none --cert-dir "$work/api" --token-auth-file "$work/api/tokens.csv" \
    --authorization-mode RBAC --service-cluster-ip-range 10.0.0.0/24 --service-account-issuer https://localhost \
    --service-account-key-file "$work/api/key" --service-account-signing-key-file "$work/api/key" >"$work/api/log" 2>&1 &
  apiserver_pid=$!
  until_true 120 k get --raw /readyz
}
own_namespace() { [ "$(readlink "/proc/$etcd_pid/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }

# shellcheck disable=SC2317 # called by the trap
stop_apiserver() {
  [ -z "$apiserver_pid" ] || { kill "$apiserver_pid" && wait "$apiserver_pid"; }
  [ -z "$etcd_pid" ] || { kill "$etcd_pid" && wait "$etcd_pid"; }
} 2>/dev/null

# namespace NAME makes one that enforces the Pod Security Standard restricted; no controller makes its service account here.
namespace() {
  k create namespace "$1" &&
    k label namespace "$1" pod-security.kubernetes.io/enforce=restricted pod-security.kubernetes.io/warn=restricted &&
    k create serviceaccount default --namespace "$1"
}

# operator makes the kinds of the Prometheus operator known.
operator() {
  dir=$(cd "$work/k8s" && go mod download -json "github.com/prometheus-operator/prometheus-operator@$PROMETHEUS_OPERATOR" 2>"$log" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  [ -n "$dir" ] || return 1
  for kind in servicemonitors prometheusrules; do
    k create -f "$dir/example/prometheus-operator-crd/monitoring.coreos.com_$kind.yaml" &&
      k wait --for condition=Established "crd/$kind.monitoring.coreos.com" || return 1
  done >"$log" 2>&1
}

apiserver() {
  have kube-apiserver || { skipped "API server: kube-apiserver is not built (make deploy-tools DEPLOY_TOOLS=kube-apiserver: a quarter of an hour of processor time)"; return; }
  for command in etcd kubectl openssl unshare nsenter ip; do
    have $command || { skipped "API server: $command is not installed"; return; }
  done
  [ "$(id -u)" = 0 ] || { skipped "API server: needs root for a network namespace"; return; }
  needs kustomization
  needs chart
  needs policy
  if ! start_apiserver; then
    tail -n 5 "$work/api/log" "$work/api/etcd.log" >"$log" 2>&1
    fail "API server: does not start"
    return
  fi
  # The first requests may come before all of its own roles and namespaces are there.
  if ! until_true 30 k create serviceaccount default --namespace kube-system || ! namespace billing >"$log" 2>&1; then
    fail "API server: a namespace"
    return
  fi
  applied
  injected
}

# refused FILE WHAT says so if the file is taken.
refused() { if dry "$1" >"$log" 2>&1; then fail "API server: $2 was accepted"; else return 0; fi; }

applied() {
  monitoring="no chart with the Prometheus operator's kinds"
  set -- deploy/kubernetes/*.yaml
  for f in kustomize three-lines gateway library; do
    [ -s "$work/$f.yaml" ] && set -- "$@" "$work/$f.yaml"
  done
  sed 's/readOnlyRootFilesystem/readOnlyRootFileSystem/' deploy/kubernetes/native-sidecar.yaml >"$work/misspelt.yaml"
  sed 's/allowPrivilegeEscalation: false/allowPrivilegeEscalation: true/' deploy/kubernetes/native-sidecar.yaml >"$work/privileged.yaml"
  sed 's/allowPrivilegeEscalation: false/allowPrivilegeEscalation: true/' deploy/policy/pod.yaml >"$work/privileged-pod.yaml"
  refused "$work/misspelt.yaml" "a misspelt field" && refused "$work/privileged.yaml" "a Deployment against the standard restricted" &&
    refused "$work/privileged-pod.yaml" "a pod against the standard restricted" || return
  if [ -s "$work/gateway-all.yaml" ] && ! operator; then
    monitoring="the Prometheus operator's kinds left out, $PROMETHEUS_OPERATOR is not reachable"
  elif [ -s "$work/gateway-all.yaml" ]; then
    monitoring="ServiceMonitor and PrometheusRule by the operator's definitions, $PROMETHEUS_OPERATOR"
    set -- "$@" "$work/gateway-all.yaml"
    sed 's/expr:/expression:/' "$work/gateway-all.yaml" >"$work/no-expression.yaml"
    refused "$work/no-expression.yaml" "an alert without an expression" || return
  fi
  objects=0
  for f; do
    if ! dry "$f" >"$log" 2>&1; then
      fail "API server: $f"
      return
    fi
    objects=$((objects + $(grep -c 'serverside-applied' "$log")))
  done
  ok "API server: manifests, kustomize component$([ -s "$work/gateway.yaml" ] && echo ", Helm chart") ($objects objects in $# files, kubectl apply --dry-run=server to kube-apiserver $KUBERNETES, strict, Pod Security restricted enforced; $monitoring)"
}

# created FILE NAMESPACE writes the pod as it would be stored.
created() { k create --dry-run=server --validate=strict --output yaml --namespace "$2" -f "$1"; }
has_sidecar() { created "$@" 2>"$log" | grep -q 'name: monite-proxy$'; }

injected() {
  labelled=deploy/policy/pod.yaml
  sed 's/monite-proxy.inject: .*/other: label/' $labelled >"$work/unlabelled.yaml"
  if has_sidecar $labelled billing; then
    fail "API server: a sidecar without the policy"
  elif ! k create -f deploy/policy/inject.yaml >"$log" 2>&1; then
    fail "API server: the policy"
  elif ! until_true 30 has_sidecar $labelled billing; then
    fail "API server: the policy leaves a labelled pod alone"
  elif has_sidecar "$work/unlabelled.yaml" billing || [ -s "$log" ]; then
    fail "API server: the policy and a pod without the label"
  elif has_sidecar $labelled kube-system || [ -s "$log" ]; then
    fail "API server: the policy and a pod of the cluster's own"
  else
    created $labelled billing >"$work/injected.yaml" 2>"$log"
    rendered "$work/injected.yaml" "API server: the policy puts the sidecar into a labelled pod and into no other" "kube-apiserver $KUBERNETES"
  fi
}
