#!/bin/sh
# Makes the release twice, from two clones in two folders with build caches of their own, and compares every byte of the
# archives and packages. Needs goreleaser and git; publishes and signs nothing.
set -eu
cd "$(dirname "$0")/../.."
PATH=$PWD/.tools:$PATH
command -v goreleaser >/dev/null || { echo "goreleaser is not installed: make deploy-tools DEPLOY_TOOLS=goreleaser" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
commit=$(git rev-parse HEAD) # the branch may move on meanwhile
for round in first the-second-somewhere-else; do
  git clone --quiet --no-hardlinks . "$work/$round/source"
  git -C "$work/$round/source" checkout --quiet --detach "$commit"
  (cd "$work/$round/source" && GOCACHE=$work/$round/cache goreleaser release --snapshot --clean --skip=publish,sign,sbom,validate) \
    >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
  # In checksums.txt, one line per archive and package.
  sort -k 2 "$work/$round/source/dist/checksums.txt" >"$work/$round.sums"
  rm -rf "$work/$round/cache"
done
cat "$work/first.sums"
cmp "$work/first.sums" "$work/the-second-somewhere-else.sums"
echo "the same bytes twice: $(wc -l <"$work/first.sums") files"
