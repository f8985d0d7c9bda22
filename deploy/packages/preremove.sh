#!/bin/sh
# deb says "remove" or "upgrade", rpm the number of versions that stay.
set -e
[ -d /run/systemd/system ] || exit 0
case $1 in
remove | 0) systemctl disable --now monite-proxy.socket monite-proxy.service ;;
esac
