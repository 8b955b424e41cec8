#!/usr/bin/env bash
# Every check that a change has to pass, the same for people and for CI.
#
#   ./ci.sh              all steps in order, stops at the first that fails
#   ./ci.sh STEP...      only these: packages format scripts clippy test docs licences fuzz
#
# The tests make network namespaces and boot a kernel as a process: where this is not root, sudo is asked for both.
# What is missing is installed: system tools by apt, cargo-deny and cargo-fuzz under target/tools. Nothing is left out.
# The last line counts the tests that ran.
#
# Environment: ADIT_FUZZ_SECONDS (for each fuzz target; default 30), ADIT_SOAK_SECONDS (how long the mixed load of tests/soak lasts;
# default 30).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
exec </dev/null

cargo_deny_version=0.20.2
cargo_fuzz_version=0.13.2
fuzz_seconds=${ADIT_FUZZ_SECONDS:-30}
test_minutes=31
services_policy=/usr/sbin/policy-rc.d
forbidden=no

export CARGO_TERM_COLOR=never RUST_BACKTRACE=1
export PATH=$PWD/target/tools/bin:$PATH:/usr/sbin:/sbin
as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo)
mkdir -p target
results=$(mktemp target/test-results.XXXXXX)
step=start

closing() {
  local status=$?
  allow_services
  [ "$status" = 0 ] || echo "ci.sh: step $step failed" >&2
  awk '/^test result:/ { passed += $4; failed += $6; skipped += $8 } END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped }' "$results"
  rm -f "$results"
  exit "$status"
}
trap closing EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# What the steps below call, as PACKAGE:COMMAND or PACKAGE:FILE.
system_tools=(
  netbase:/etc/protocols gcc:cc g++:c++ libc6-dev:/usr/include/stdio.h
  perl-base:perl python3:/usr/bin/python3 iproute2:ip ethtool:ethtool tcpdump:tcpdump nftables:nft iputils-ping:ping procps:sysctl util-linux:setpriv iperf3:iperf3
  user-mode-linux:linux.uml busybox-static:busybox kmod:modprobe
  python3-scapy:/usr/lib/python3/dist-packages/scapy/layers/ipsec.py python3-cryptography:/usr/lib/python3/dist-packages/cryptography/__init__.py
  charon-systemd:charon-systemd strongswan-swanctl:swanctl strongswan-pki:pki
  libcharon-extra-plugins:/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so
  libcharon-extauth-plugins:/usr/lib/ipsec/plugins/libstrongswan-xauth-generic.so
  libstrongswan-extra-plugins:/usr/lib/ipsec/plugins/libstrongswan-chapoly.so
  libstrongswan-standard-plugins:/usr/lib/ipsec/plugins/libstrongswan-openssl.so
  openssl:openssl conntrack:conntrack
  shellcheck:shellcheck
)

step_packages() {
  local tool missing=()
  for tool in "${system_tools[@]}"; do
    [ -e "${tool#*:}" ] || command -v "${tool#*:}" >/dev/null || missing+=("${tool%%:*}")
  done
  if [ ${#missing[@]} -gt 0 ]; then
    "${as_root[@]}" apt-get -q update
    forbid_services
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${missing[@]}"
    allow_services
  fi
  cargo_tool cargo-deny "$cargo_deny_version"
  cargo_tool cargo-fuzz "$cargo_fuzz_version"
}

# What is installed starts no daemon: the tests run their own. Where the machine has a policy already, that one stays.
forbid_services() {
  [ ! -e "$services_policy" ] || return 0
  forbidden=yes
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$services_policy" >/dev/null
  "${as_root[@]}" chmod 755 "$services_policy"
}

allow_services() {
  [ "$forbidden" = no ] || "${as_root[@]}" rm -f "$services_policy"
  forbidden=no
}

# cargo_tool NAME VERSION: quick to build rather than quick to run.
cargo_tool() {
  if [ "$("$1" --version 2>/dev/null)" = "$1 $2" ]; then
    return
  fi
  env CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=0 \
    cargo install --quiet --locked --root target/tools --version "$2" "$1"
}

step_format() {
  cargo fmt --all --check
  cargo fmt --manifest-path fuzz/Cargo.toml --check
}

step_scripts() {
  shellcheck -x ci.sh .ci/run netns-scripts/*.sh netns-scripts/*/*.sh
}

step_clippy() {
  cargo clippy --quiet --locked --workspace --all-targets -- -D warnings
}

step_test() {
  local host limit=()
  if [ ${#as_root[@]} -gt 0 ]; then
    host=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
    export "CARGO_TARGET_${host}_RUNNER=sudo -E"
  fi
  # A test that hangs must not take the whole run's time with it. For people there is Ctrl-C, which timeout would keep away.
  [ -z "${CI-}" ] || limit=(timeout --kill-after=30 $((test_minutes * 60)))
  "${limit[@]}" cargo test --locked --workspace --no-fail-fast 2>&1 | tee -a "$results"
}

step_docs() {
  RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --workspace --no-deps
}

step_licences() {
  cargo deny --locked --workspace check licenses bans sources
}

step_fuzz() {
  local host nightly=() running=() targets target failed=0
  host=$(rustc -vV | sed -n 's/^host: //p')
  # The sanitizer and coverage flags are unstable: a nightly compiler takes them, a stable one only when told to.
  if rustup toolchain list 2>/dev/null | grep -q '^nightly'; then
    nightly=(+nightly)
  else
    export RUSTC_BOOTSTRAP=1
  fi
  CARGO_TERM_QUIET=true cargo "${nightly[@]}" fuzz build --target "$host"
  targets=$(cargo "${nightly[@]}" fuzz list)
  for target in $targets; do
    fuzz_one "fuzz/target/$host/release" "$target" &
    running+=($!)
    if [ ${#running[@]} -eq 2 ]; then
      await_all "${running[@]}" || failed=1
      running=()
    fi
  done
  await_all "${running[@]}" || failed=1
  return "$failed"
}

# await_all PID...: fails when one of them did, after the last has ended.
await_all() {
  local pid failed=0
  for pid in "$@"; do
    wait "$pid" || failed=1
  done
  return "$failed"
}

# fuzz_one DIRECTORY TARGET: what it finds goes below target/, what it starts from is committed.
fuzz_one() {
  local found=target/fuzz-found/$2 log=target/fuzz-found/$2.log
  mkdir -p "$found"
  if ! "$1/$2" -max_total_time="$fuzz_seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 "-artifact_prefix=target/fuzz-found/$2-" \
    "$found" "fuzz/corpus/$2" >"$log" 2>&1; then
    tail -n 60 "$log"
    echo "fuzz $2: failed; the input is in target/fuzz-found/"
    return 1
  fi
  echo "fuzz $2: $(awk '/number_of_executed_units/ { print $2 }' "$log") runs in $fuzz_seconds s"
}

steps=("$@")
[ $# -gt 0 ] || steps=(packages format scripts clippy test docs licences fuzz)
for step in "${steps[@]}"; do
  declare -F "step_$step" >/dev/null || { echo "ci.sh: no step $step" >&2; exit 2; }
  began=$SECONDS
  echo "== $step"
  "step_$step"
  echo "== $step: $((SECONDS - began)) s"
done
step=end
