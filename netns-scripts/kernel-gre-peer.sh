#!/usr/bin/env bash
# A Linux kernel with its own GRE and ESP as the far end of a tunnel: User-Mode Linux, an ordinary process, no image and no KVM.
#
#     network namespace NETNS                     the guest (Debian's kernel, one processor)
#     +---------------------------+   frames    +------------------------------------------+
#     |  IFACE: end of a veth     |<----------->|  eth0        up, no address              |
#     |  pair, up, no address     |             |  ip_gre, ip6_gre, tun: load on first use |
#     +------------||-------------+             |  /     the host's files, read-only       |
#            the other end is                   |  /mnt  STATE/NAME/share, writable        |
#            where adit listens                 +------------------------------------------+
#
#   kernel-gre-peer.sh install                    what apt has to bring, and the shim for large processor states
#   kernel-gre-peer.sh start NAME NETNS IFACE...  boots guest NAME, returns when it takes commands (about 2 s)
#   kernel-gre-peer.sh exec NAME 'COMMAND'        runs COMMAND in the guest: its output, its exit status
#   kernel-gre-peer.sh stop NAME                  powers it off
#   kernel-gre-peer.sh log NAME                   its console
#   kernel-gre-peer.sh run NAME NETNS IFACE...    as start, but stays in the foreground: for a caller that ends its own children
#   kernel-gre-peer.sh wait NAME                  returns when a guest begun by run takes commands
#
# Example, with adit at 192.0.2.1 on the other end of the veth pair:
#   kernel-gre-peer.sh start peer far far0
#   kernel-gre-peer.sh exec peer 'ip address add 192.0.2.2/24 dev eth0'
#   kernel-gre-peer.sh exec peer 'ip link add gre1 type gre local 192.0.2.2 remote 192.0.2.1 key 42 csum seq ttl 64'
#   kernel-gre-peer.sh exec peer 'ip address add 10.9.0.2/30 dev gre1; ip link set gre1 up'
# To have it answer GRE keepalives, which it does by forwarding them:
#   kernel-gre-peer.sh exec peer 'sysctl -q net.ipv4.ip_forward=1 net.ipv4.conf.gre1.accept_local=1 \
#                                          net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.gre1.rp_filter=0'
# ESP with adit's static keys, copied to STATE/peer/share (see the script for GRE in ESP, UDP and what else there is):
#   kernel-gre-peer.sh exec peer "$PWD/netns-scripts/kernel-peer/esp.sh tunnel 192.0.2.2 192.0.2.1 0x1001 /mnt/a.key 0x1002 /mnt/b.key esn"
# For ESP in UDP: ethtool -K far0's-other-end tx-udp-segmentation off, as the guest takes no trains of packets.
# adit itself runs in the guest too, beside the kernel's GRE: exec peer '/path/to/adit run -c /mnt/adit.toml >/mnt/adit.log 2>&1 &'
#
# Environment: ADIT_PEER_DIR (state; default /run/adit-kernel-peer), ADIT_PEER_MEMORY (128M),
#              ADIT_PEER_BOOT_SECONDS (60), ADIT_PEER_EXEC_SECONDS (60; exit 124 when it is over).
set -euo pipefail

state=${ADIT_PEER_DIR:-/run/adit-kernel-peer}
memory=${ADIT_PEER_MEMORY:-128M}
boot_seconds=${ADIT_PEER_BOOT_SECONDS:-60}
exec_seconds=${ADIT_PEER_EXEC_SECONDS:-60}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
shim=$state/xstate-shim.so

die() {
  echo "kernel-gre-peer: $*" >&2
  exit 125
}

usage() {
  sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2
  exit 2
}

build_shim() {
  mkdir -p "$state"
  local built
  built=$(mktemp "$state/shim.XXXXXX")
  cc -O2 -Wall -shared -fPIC -o "$built" "$here/kernel-peer/xstate-shim.c" || die "the shim does not build"
  mv "$built" "$shim"
}

# Sets missing to the Debian packages without which there is no guest.
find_missing() {
  local package
  missing=()
  for package in user-mode-linux:linux.uml busybox-static:busybox kmod:modprobe iproute2:ip ethtool:ethtool procps:sysctl perl-base:perl gcc:cc; do
    PATH=$PATH:/usr/sbin:/sbin command -v "${package#*:}" >/dev/null || missing+=("${package%%:*}")
  done
}

install_packages() {
  local missing
  find_missing
  if [ ${#missing[@]} -gt 0 ]; then
    apt-get -q update
    DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${missing[@]}" libc6-dev
  fi
  build_shim
}

alive() {
  [ -s "$state/$1/pid" ] && kill -0 "$(cat "$state/$1/pid")" 2>/dev/null
}

# say DIRECTORY WORD: to the guest's console. Opened to read as well, so that a guest that has just died does not hold us up.
say() {
  echo "$2" 1<>"$1/console"
}

# Makes the guest's directory, then becomes the guest.
run_guest() {
  local name=$1 netns=$2 dir=$state/$1 interface devices=() mac
  shift 2
  alive "$name" && die "$name is running"
  [ -e "$shim" ] || build_shim
  rm -rf "$dir"
  mkdir -p "$dir/share"
  mkfifo "$dir/console"
  echo $$ >"$dir/pid"
  install -m 755 "$here/kernel-peer/init.sh" "$dir/init"
  for interface in "$@"; do
    # The guest hands unfinished checksums to the device. Only a veth end without checksum offload completes them, and
    # GRE's own checksum would otherwise reach a program in user space as zero.
    ip netns exec "$netns" ethtool -K "$interface" tx off >"$dir/ethtool" 2>&1 || die "$netns: ethtool -K $interface tx off: $(cat "$dir/ethtool")"
    devices+=("vec${#devices[@]}:transport=raw,ifname=$interface,depth=128,gro=1")
  done
  mac=$(printf %s "$name" | md5sum | cut -c1-8)
  export LD_PRELOAD=$shim
  # Read and write, so that the console never sees the end of its input.
  exec ip netns exec "$netns" linux.uml "umid=$name" "uml_dir=$state/uml" "mem=$memory" \
    rootfstype=hostfs rootflags=/ ro "init=$dir/init" con=null ssl=null con0=fd:0,fd:1 quiet panic=1 \
    "adit_share=$dir/share" "adit_mac=$mac" "${devices[@]}" <>"$dir/console" >"$dir/log" 2>&1
}

wait_ready() {
  local name=$1 dir=$state/$1 end=$((SECONDS + boot_seconds))
  until [ -e "$dir/share/ready" ]; do
    [ $SECONDS -lt $end ] || die "$name did not boot in $boot_seconds s: $(tail -n 20 "$dir/log" 2>&1)"
    if [ -s "$dir/pid" ] && ! alive "$name"; then
      die "$name died while booting: $(tail -n 20 "$dir/log" 2>&1)"
    fi
    sleep 0.05
  done
}

run_job() {
  local name=$1 dir=$state/$1 job end status turn=0
  shift
  alive "$name" || die "$name is not running"
  end=$((SECONDS + exec_seconds))
  job=$(mktemp -d "$dir/share/job.XXXXXXXX")
  chmod 755 "$job"
  printf '%s\n' "$*" >"$job/command"
  say "$dir" "$(basename "$job")"
  until [ -e "$job/status" ]; do
    alive "$name" || die "$name died: $(tail -n 20 "$dir/log")"
    if [ $SECONDS -ge $end ]; then
      cat "$job/output" 2>/dev/null || true
      echo "kernel-gre-peer: $name has not finished this in $exec_seconds s" >&2
      exit 124
    fi
    # A guest under load was seen to leave a line unread until the next one came.
    turn=$((turn + 1))
    if [ $((turn % 25)) -eq 0 ] && [ ! -e "$job/output" ]; then
      say "$dir" ""
    fi
    sleep 0.02
  done
  cat "$job/output"
  status=$(cat "$job/status")
  rm -rf "$job"
  exit "$status"
}

stop_guest() {
  local name=$1 dir=$state/$1 pid end=$((SECONDS + 5))
  if alive "$name"; then
    pid=$(cat "$dir/pid")
    say "$dir" halt
    while alive "$name"; do
      if [ $SECONDS -ge $end ]; then
        echo "kernel-gre-peer: $name does not halt, ending it" >&2
        kill -TERM "$pid"
        sleep 1
        kill -KILL "$pid" 2>/dev/null || true
        break
      fi
      sleep 0.05
    done
  fi
  rm -rf "$dir"
}

command=${1-}
shift || usage
case $command:$# in
  install:0) install_packages ;;
  start:0 | start:1 | start:2 | run:0 | run:1 | run:2) usage ;;
  start:*)
    alive "$1" && die "$1 is running"
    find_missing
    [ ${#missing[@]} -eq 0 ] || die "missing packages: ${missing[*]} (kernel-gre-peer.sh install brings them)"
    rm -rf "${state:?}/$1"
    # A session of its own: Ctrl-C in the caller's terminal does not reach the guest.
    setsid -f "${BASH_SOURCE[0]}" run "$@" </dev/null
    wait_ready "$1"
    ;;
  run:*) run_guest "$@" ;;
  wait:1) wait_ready "$1" ;;
  exec:0 | exec:1) usage ;;
  exec:*) run_job "$@" ;;
  stop:1) stop_guest "$1" ;;
  log:1) cat "$state/$1/log" ;;
  *) usage ;;
esac
