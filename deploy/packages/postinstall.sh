#!/bin/sh
# After an installation the service is not started: it has no credentials yet. After an upgrade what runs is restarted.
set -e
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
systemctl try-restart monite-proxy.service
