# shellcheck shell=sh disable=SC2154
# Sourced by verify.sh: podman, on the images that buildah has built. It lives in a network namespace of its own: its
# bridges and packet filter rules never touch this machine's, and end with it.

engine_pid='' # of podman's service, which speaks Docker's API
healths_pid=''

# engine makes p work. If it cannot, reason says why.
engine() {
  needs images
  reason='the images were not built'
  [ "$built" = ' monite-proxy monite-sim' ] || return 1
  for command in podman runc nsenter; do
    reason="$command is not installed (deploy/verify.sh --install)"
    have $command || return 1
  done
  [ -z "$engine_pid" ] || return 0
  # The defaults ask for more than a shell without CAP_SYS_RESOURCE may give.
  cat >"$work/containers.conf" <<END
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
END
  set -- --root "$work/storage" --runroot "$work/run" --tmpdir "$work/run/libpod" --storage-driver "$driver"
  env -u DOCKER_CONFIG -u REGISTRY_AUTH_FILE TMPDIR="$work/tmp" CONTAINERS_CONF="$work/containers.conf" \
    unshare --net sh -c 'busybox ifconfig lo up; exec podman "$@"' sh "$@" \
    system service --time 0 "unix://$work/podman.sock" >"$work/engine.log" 2>&1 &
  engine_pid=$!
  until_true 10 p info && return
  reason="podman does not run here: $(tail -n 1 "$work/engine.log")"
  return 1
}

p() { podman --remote --url "unix://$work/podman.sock" "$@"; }

# shellcheck disable=SC2317 # called by the trap
stop_engine() {
  [ -n "$engine_pid" ] || return 0
  [ -z "$healths_pid" ] || kill "$healths_pid" 2>/dev/null
  # In one go it may come to a container before the one that shares its network.
  for _ in 1 2 3; do p rm --all --force --time 1 >/dev/null 2>&1; done
  p network prune --force >/dev/null 2>&1
  kill "$engine_pid" 2>/dev/null
}

# sidecar NAME [ARGUMENT...] runs the image as compose and the manifests do, in the simulator's network namespace.
sidecar() {
  name=$1
  shift
  p run --detach --name "$name" --network container:sim --read-only --cap-drop all --security-opt no-new-privileges \
    --memory 192m --pids-limit 128 --volume "$PWD/deploy/compose:/run/secrets:ro" \
    --env MONITE_CLIENT_ID_FILE=/run/secrets/simulator_client_id \
    --env MONITE_CLIENT_SECRET_FILE=/run/secrets/simulator_client_secret \
    --env MONITE_API_URL=http://127.0.0.1:8090 --env GOMEMLIMIT=110MiB "$@" localhost/monite-proxy:verify
}

# in_pod runs a program of this machine where the containers are.
in_pod() { nsenter --target "$(p inspect --format '{{.State.Pid}}' sim)" --net "$@"; }

# cold_start writes milliseconds from exec to the first proxied answer.
cold_start() {
  in_pod "$work/bin/coldstart" poll 60 'http://127.0.0.1:8080/v1/entities?limit=1' >"$work/end" &
  poller=$!
  sidecar cold --volume "$work/bin/coldstart:/coldstart:ro" --entrypoint '["/coldstart", "exec", "/monite-proxy"]' >/dev/null && wait $poller || return 1
  begin=$(p logs cold 2>/dev/null | grep -x '[0-9]\{19\}')
  p rm --force --time 10 cold >/dev/null 2>&1
  echo $((($(cat "$work/end") - begin) / 1000000))
}

# contained looks at the running image: that it serves, what it may do, how fast it starts and what it takes.
contained() {
  engine || { skipped "image in a container: $reason"; return; }
  if ! tool coldstart ||
    ! p run --detach --name sim --network none --read-only --cap-drop all --security-opt no-new-privileges \
      --env "MONITE_SIM_CLIENT_ID=$(cat deploy/compose/simulator_client_id)" \
      --env "MONITE_SIM_CLIENT_SECRET=$(cat deploy/compose/simulator_client_secret)" localhost/monite-sim:verify >"$log" 2>&1 ||
    ! until_true 30 p healthcheck run sim; then
    fail "image in a container: the simulator"
    return
  fi
  if ! sidecar proxy >"$log" 2>&1 || ! until_true 30 p healthcheck run proxy; then
    p logs proxy >"$log" 2>&1
    fail "image in a container: its health check"
    return
  fi
  in_pod "$work/bin/coldstart" poll 5 'http://127.0.0.1:8080/v1/entities?limit=1' >"$log" 2>&1 || fail "image in a container: a request"
  pid=$(p inspect --format '{{.State.Pid}}' proxy)
  rights=$(awk '/^(Uid|CapEff|CapBnd|NoNewPrivs):/{printf "%s ", $2}' "/proc/$pid/status")
  root=$(awk '$5 == "/" {split($6, o, ","); print o[1]}' "/proc/$pid/mountinfo")
  memory=$(awk '/^VmRSS:/{printf "%.1f", $2 / 1024}' "/proc/$pid/status")
  size=$(p image inspect --format '{{.Size}}' localhost/monite-proxy:verify)
  p stop --time 35 proxy >"$log" 2>&1
  status=$(p inspect --format '{{.State.ExitCode}}' proxy)
  p logs proxy >"$log" 2>&1
  if [ "$rights$root" != "65532 0000000000000000 0000000000000000 1 ro" ]; then
    fail "image in a container: user, capabilities, no-new-privileges, root file system: $rights$root"
  elif [ "$status" != 0 ]; then
    fail "image in a container: exit status $status after SIGTERM"
  else
    ok "image in a container (podman with runc; user 65532, no capabilities, no-new-privileges, read-only, exit status 0; $((size / 1000)) kB, $memory MiB at rest)"
  fi
  times=''
  for _ in 1 2 3 4 5; do
    times="$times $(cold_start)" || break
  done 2>"$log"
  p rm --force --time 10 proxy sim >/dev/null 2>&1
  # shellcheck disable=SC2086
  if [ "$(set -- $times && echo $#)" = 5 ]; then
    ok "image in a container, from exec to the first proxied 200:$times ms"
  else
    fail "image in a container: from exec to the first proxied 200:$times"
  fi
}
