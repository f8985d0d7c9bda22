#!/bin/sh
out=$(mktemp); head=$(mktemp); body=$(mktemp)
trap 'rm -f "$out" "$head" "$body"' EXIT
run() {
	wget -q -S --content-on-error --tries=1 --timeout=40 -O "$out" "$@" 2>"$head"
	echo "$(awk '/^  HTTP\//{s=$2} END {print s}' "$head") $(sha256sum <"$out" | cut -c1-64)"
}
case $2 in
get) run "$1/payables?limit=2" ;;
post) run --header='Content-Type: application/json' --post-data='{"a":1}' "$1/payables" ;;
upload) head -c 1048576 /dev/zero >"$body"; run --header='Content-Type: application/octet-stream' --post-file="$body" "$1/files" ;;
redirect) run "$1/redirect" ;;
*) exit 77 ;;
esac
