# shellcheck shell=sh disable=SC2154
# Sourced by verify.sh: the systemd units, the packages and the release.

systemd() {
  if ! have systemd-analyze; then
    skipped "systemd units: systemd-analyze is not installed"
    return
  fi
  mkdir -p "$work/units"
  cp deploy/systemd/* "$work/units"
  # Only its existence is looked at.
  sed -i 's|^ExecStart=/usr/bin/monite-proxy|ExecStart=/bin/true|' "$work/units/monite-proxy.service"
  verify_units() { systemd-analyze verify "$work/units/monite-proxy.service" "$work/units/monite-proxy.socket" >"$log" 2>&1 && [ ! -s "$log" ]; }
  sed -i 's/^PrivateTmp/PrivateTemp/' "$work/units/monite-proxy.service"
  if verify_units; then
    fail "systemd units: a misspelt key was accepted"
    return
  fi
  sed -i 's/^PrivateTemp/PrivateTmp/' "$work/units/monite-proxy.service"
  if ! verify_units; then
    fail "systemd units"
    return
  fi
  score=$(systemd-analyze security --offline=true "$work/units/monite-proxy.service" 2>"$log" | sed -n 's/.*exposure level for [^:]*: \([0-9.]*\).*/\1/p')
  if systemd-analyze security --offline=true --threshold=20 "$work/units/monite-proxy.service" >"$log" 2>&1; then
    ok "systemd units (systemd-analyze verify; security: exposure $score of 10)"
  else
    fail "systemd units: exposure $score is above 2.0"
  fi
}

# release looks at the configuration, and at the packages of one platform.
release() {
  if have actionlint; then
    sed 's/runs-on: ubuntu-24.04/runs-on: ${{ matrix.none }}/' .github/workflows/ci.yml >"$work/broken-workflow.yml"
    if actionlint "$work/broken-workflow.yml" >"$log" 2>&1; then
      fail "workflows: a context that does not exist was accepted"
    elif actionlint >"$log" 2>&1; then
      ok "workflows (actionlint $ACTIONLINT$(have shellcheck && echo ", with shellcheck"))"
    else
      fail "workflows"
    fi
  else
    skipped "workflows: actionlint is not installed (make deploy-tools builds $ACTIONLINT)"
  fi
  if ! have goreleaser; then
    skipped "release: goreleaser is not installed (make deploy-tools builds $GORELEASER)"
  elif sed 's/^nfpms:/nfpm:/' .goreleaser.yaml >"$work/goreleaser.yaml" && goreleaser check "$work/goreleaser.yaml" >"$log" 2>&1; then
    fail "release: a misspelt key was accepted"
  elif goreleaser check >"$log" 2>&1; then
    ok "release: .goreleaser.yaml (goreleaser check $GORELEASER)"
  else
    fail "release: .goreleaser.yaml"
  fi
}

scripts() {
  if ! have shellcheck; then
    skipped "shell scripts: shellcheck is not installed (Debian: shellcheck)"
  elif shellcheck -x deploy/*.sh deploy/verify/tools.sh deploy/verify/release-twice.sh deploy/packages/*.sh deploy/recipes/run.sh deploy/recipes/curl/client.sh >"$log" 2>&1; then
    ok "shell scripts (shellcheck)"
  else
    fail "shell scripts"
  fi
}

recipes() {
  if sh deploy/recipes/run.sh >"$log" 2>&1; then
    sed -n 's/^\(ok  \|skipped\) */&recipe /p' "$log"
  else
    fail "recipes"
  fi
}
