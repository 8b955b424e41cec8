#!/usr/bin/env bash
# Runs another tunnel program between two namespaces and sees that packets of all sizes, and TCP, go through it.
#
#   try.sh NAME...
#
# Makes what common.sh draws, for one NAME.sh after the other; nothing of it is left. Needs root and iperf3.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
prefix=adit-peers
device=peer0
mtu=1500
state=
processes=()

die() {
  echo "try.sh: $*" >&2
  exit 1
}

clean() {
  local process end=$((SECONDS + 5)) site
  for process in "${processes[@]}"; do
    kill -TERM -- "-$process" 2>/dev/null || true
    while kill -0 -- "-$process" 2>/dev/null; do
      [ $SECONDS -lt $end ] || kill -KILL -- "-$process" 2>/dev/null || true
      sleep 0.05
    done
  done
  processes=()
  for site in west east; do
    [ ! -e "/run/netns/$prefix-$site" ] || ip netns delete "$prefix-$site"
  done
  [ -z "$state" ] || rm -rf "$state"
}

# background SITE COMMAND...: in a process group of its own, its output in $state/SITE.log.
background() {
  local site=$1
  shift
  set -m
  ip netns exec "$prefix-$site" "$@" </dev/null >>"$state/$site.log" 2>&1 &
  set +m
  processes+=($!)
}

wire_make() {
  local site number=0
  for site in west east; do
    ip netns add "$prefix-$site"
    ip -n "$prefix-$site" link set lo up
  done
  ip link add name wire0 mtu "$mtu" netns "$prefix-west" type veth peer name wire0 mtu "$mtu" netns "$prefix-east"
  for site in west east; do
    number=$((number + 1))
    ip -n "$prefix-$site" address add "192.0.2.$number/24" dev wire0
    ip -n "$prefix-$site" link set wire0 up
  done
}

# side SITE OWN PEER: starts NAME.sh; the last octets of the addresses name the sites.
side() {
  mkdir "$state/$1"
  background "$1" env "SIDE=$1" "DEVICE=$device" "LOCAL=192.0.2.$2" "REMOTE=192.0.2.$3" "INNER=10.9.0.$2/30" "PEER_INNER=10.9.0.$3/30" \
    "MTU=$mtu" "STATE=$state/$1" "SHARED=$state/shared" "$here/$name.sh"
}

logs() { tail -n 20 "$state/west.log" "$state/east.log"; }
octets() { ip netns exec "$prefix-west" cat /sys/class/net/wire0/statistics/tx_bytes; }

# sum_received FIELD: a number from iperf3's report.
sum_received() { sed -n "/\"sum_received\"/,/}/s/.*\"$1\":[[:space:]]*\([0-9.e+]*\).*/\1/p" "$state/iperf3"; }

try() {
  local end=$((SECONDS + 30)) inner before largest rate
  west=(ip netns exec "$prefix-west")
  until "${west[@]}" ping -q -c 1 -W 1 10.9.0.2 >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || die "$name: nothing comes through: $(logs)"
    sleep 0.2
  done
  inner=$("${west[@]}" ip link show "$device" | sed -n 's/.* mtu \([0-9]*\) .*/\1/p')
  largest=$((inner - 28))
  "${west[@]}" ping -q -c 20 -i 0.01 -W 2 -M 'do' -s "$largest" 10.9.0.2 >"$state/ping" ||
    die "$name: packets of $inner octets are lost: $(cat "$state/ping") $(logs)"
  before=$(octets)
  background east iperf3 -s -1
  # iperf3 -J ends well even where it was refused.
  until "${west[@]}" iperf3 -c 10.9.0.2 -t 2 -J >"$state/iperf3" 2>&1 && grep -q sum_received "$state/iperf3"; do
    [ $SECONDS -lt $end ] || die "$name: iperf3: $(tail -n 5 "$state/iperf3")"
    sleep 0.2
  done
  [ $(($(octets) - before)) -gt "$(sum_received bytes)" ] || die "$name: the traffic did not cross the wire"
  rate=$(sum_received bits_per_second | awk '{ printf "%.2f", $1 / 1e9 }')
  echo "$name: mtu $inner, ping of that size $(sed -n 's#^rtt.* = [^/]*/\([^/]*\)/.*#\1#p' "$state/ping") ms, TCP $rate Gb/s"
}

[ "$(id -u)" = 0 ] || die "network namespaces need root"
[ $# -gt 0 ] || die "which? $(cd "$here" && grep -l '^#!.*bash' -- *.sh | grep -vE '^(install|try)\.sh$' | sed 's/\.sh$//' | tr '\n' ' ')"
[ ! -e "/run/netns/$prefix-west" ] || die "$prefix-west exists: another try.sh is running, or ip netns delete $prefix-west"
trap clean EXIT
trap 'exit 130' INT TERM
for name in "$@"; do
  [ -x "$here/$name.sh" ] || die "no $here/$name.sh"
  state=$(mktemp -d)
  mkdir "$state/shared"
  wire_make
  side west 1 2
  side east 2 1
  try
  clean
done
