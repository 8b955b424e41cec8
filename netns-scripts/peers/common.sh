# shellcheck shell=bash
# What the scripts for other tunnel programs share; sourced, not run.
#
#   namespace of west                                    namespace of east
#   +--------------------------------+                   +--------------------------------+
#   | DEVICE  INNER                  |~~~~~ tunnel ~~~~~~| DEVICE  PEER_INNER             |
#   | NAME.sh and the program it runs|                   | NAME.sh and the program it runs|
#   | wire0   LOCAL                  |------ veth -------| wire0   REMOTE                 |
#   +--------------------------------+                   +--------------------------------+
#
# Each NAME.sh runs once in each namespace, as root, at the same time; the environment says the rest, as east sees it with
# LOCAL and REMOTE, INNER and PEER_INNER exchanged:
#
#   SIDE                 west or east
#   DEVICE               the interface to bring up, of MTU octets less what the tunnel adds
#   LOCAL, REMOTE        IPv4 addresses of the wire, whose MTU is MTU
#   INNER, PEER_INNER    IPv4 addresses inside the tunnel, as ADDRESS/LENGTH
#   STATE                an empty folder of this side
#   SHARED               an empty folder that both sides see
#
# It becomes the program, which stays in the foreground and ends, with nothing left, when SIGTERM comes to its process group.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
patience_seconds=15
program=$$

die() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

for variable in SIDE DEVICE LOCAL REMOTE INNER PEER_INNER MTU STATE SHARED; do
  [ -n "${!variable-}" ] || die "no $variable in the environment"
done
script=$here/$(basename "$0")
# Whoever runs this may be killed: then this ends too.
if [ -z "${PEER_ENDS_WITH_PARENT-}" ]; then
  exec env PEER_ENDS_WITH_PARENT=yes setpriv --pdeathsig TERM "$script"
fi
PATH=$here/../../target/peers/bin:$PATH:/usr/sbin:/sbin
other=east
[ "$SIDE" = west ] || other=west
cd "$STATE" || die "no folder $STATE"
umask 077

# need COMMAND...
need() {
  local command
  for command in "$@"; do
    command -v "$command" >/dev/null || die "no $command: $here/install.sh $(basename "$0" .sh)"
  done
}

# publish NAME: the standard input, whole, for the other side.
publish() {
  cat >"$SHARED/.$SIDE.$1"
  mv "$SHARED/.$SIDE.$1" "$SHARED/$SIDE.$1"
}

# await NAME: what the other side published.
await() {
  wait_for test -e "$SHARED/$other.$1"
  cat "$SHARED/$other.$1"
}

# wait_for COMMAND...: until it succeeds.
wait_for() {
  local end=$((SECONDS + patience_seconds))
  until "$@" >/dev/null 2>&1; do
    kill -0 "$program" 2>/dev/null || die "the program ended"
    [ $SECONDS -lt $end ] || die "not within $patience_seconds s: $*"
    sleep 0.02
  done
}

# run COMMAND...: the program takes the script's place, so that nobody's memory but its own is measured; meanwhile the script's
# function configure runs, which ends the program if it fails.
run() {
  (
    (
      trap '[ $? = 0 ] || kill -TERM "$program" 2>/dev/null' EXIT
      configure
    ) &
  )
  exec "$@"
}

# bring_up OVERHEAD_OCTETS: the device, once it is there.
bring_up() {
  wait_for ip link show "$DEVICE"
  ip link set "$DEVICE" mtu "$((MTU - $1))" up
  ip address replace "$INNER" dev "$DEVICE"
}
