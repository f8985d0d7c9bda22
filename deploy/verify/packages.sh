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
