#!/usr/bin/env bash
# What bench-peers needs: nginx, haproxy and wrk of Debian, without starting them. caddy is built by the Makefile.
set -euo pipefail
missing=()
for tool in nginx haproxy wrk strace taskset; do
  command -v "$tool" >/dev/null 2>&1 || missing+=("${tool/nginx/nginx-light}")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "missing: ${missing[*]}" >&2
  exit 1
fi
apt-get update -qq
# The packages would start their services: nothing of ours may take a port that somebody needs.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d.bench && chmod +x /usr/sbin/policy-rc.d.bench
if [ ! -e /usr/sbin/policy-rc.d ]; then
  mv /usr/sbin/policy-rc.d.bench /usr/sbin/policy-rc.d
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
else
  rm /usr/sbin/policy-rc.d.bench
fi
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]/taskset/util-linux}" >/dev/null
