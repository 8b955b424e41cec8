#!/bin/bash
# The kernel's end of adit's ESP with static keys, for the far end of a tunnel. Runs in the guest of kernel-gre-peer.sh: it clears away all IPsec that is there.
#
#   adit at REMOTE (outer), 10.9.0.1, fd00:9::1                    this kernel at LOCAL (outer), 10.9.0.2, fd00:9::2
#   +-----------------------------+                                +------------------------------------------------+
#   | sa.out SPI1, sa.out.key-file|  --------- ESP, SPI1 --------> | state in: SPI1, KEYFILE1                       |
#   | sa.in  SPI2, sa.in.key-file |  <-------- ESP, SPI2 --------- | state out: SPI2, KEYFILE2                      |
#   +-----------------------------+                                +------------------------------------------------+
#
#   esp.sh tunnel LOCAL REMOTE SPI1 KEYFILE1 SPI2 KEYFILE2 [OPTION...]   mode = "esp": inner addresses on lo, policies between them
#   esp.sh gre LOCAL REMOTE SPI1 KEYFILE1 SPI2 KEYFILE2 [OPTION...]      mode = "gre-esp": transport mode for GRE; the GRE interface is yours
#   esp.sh clear                                                         takes all of it away
#
# KEYFILE: as adit keygen writes it. OPTION: esn | udp (port 4500 at both ends) | window=N (replay window, default 64) |
# in-seq=N, out-seq=N (the last sequence number that came, that left; 64 bits with esn).
set -euo pipefail

usage() {
  sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2
  exit 2
}

# What is not there needs no clearing away. One process for all of it: in a guest each takes a tenth of a second.
clear_all() {
  printf '%s\n' 'xfrm policy flush' 'xfrm state flush' 'address flush dev lo scope global' \
    'route delete 10.9.0.1 dev eth0' 'route delete fd00:9::1 dev eth0' |
    ip -force -batch - 2>/dev/null || true
}

# state SOURCE DESTINATION SPI KEYFILE WORD...
state() {
  local source=$1 destination=$2 spi=$3 line suite key algorithm
  line=$(grep -v -e '^#' -e '^[[:space:]]*$' "$4")
  suite=${line%% *} key=${line##* }
  case $suite in
    aes128gcm16 | aes256gcm16) algorithm="rfc4106(gcm(aes))" ;;
    chacha20poly1305) algorithm="rfc7539esp(chacha20,poly1305)" ;;
    *) echo "esp.sh: no suite $suite" >&2 && return 1 ;;
  esac
  shift 4
  echo "xfrm state add src $source dst $destination proto esp spi $spi reqid 1 mode $mode $* ${common[*]} aead $algorithm $key 128"
}

# sequence KIND NUMBER: where a counter stands.
sequence() {
  local low=$(($2 & 0xffffffff)) high=$(($2 >> 32 & 0xffffffff))
  echo "$1 $low"
  [ "$high" = 0 ] || echo "$1-hi $high"
}

# policies LOCAL REMOTE WORD...: what goes between the two selectors goes through the states.
policies() {
  local there="src $1 dst $2 ${*:3}" back="src $2 dst $1 ${*:3}" direction
  echo "xfrm policy add $there dir out tmpl src $near dst $far proto esp reqid 1 mode $mode"
  for direction in in fwd; do
    echo "xfrm policy add $back dir $direction tmpl src $far dst $near proto esp reqid 1 mode $mode"
  done
}

# listen: without a socket that asks for it, the kernel takes no ESP out of UDP.
listen() {
  [ ! -e /run/espinudp.pid ] || ! kill -0 "$(cat /run/espinudp.pid)" 2>/dev/null || return 0
  setsid perl "$(dirname "${BASH_SOURCE[0]}")/espinudp.pl" /run/espinudp.pid </dev/null >/run/espinudp.log 2>&1 &
  for _ in $(seq 100); do
    [ ! -s /run/espinudp.pid ] || return 0
    sleep 0.02
  done
  cat /run/espinudp.log >&2
  return 1
}

# Another program may want the port.
stop_listening() {
  local listener
  [ -s /run/espinudp.pid ] || return 0
  listener=$(cat /run/espinudp.pid)
  rm /run/espinudp.pid
  kill "$listener" 2>/dev/null || return 0
  while kill -0 "$listener" 2>/dev/null; do
    sleep 0.02
  done
}

command=${1-}
shift || usage
case $command:$# in
  clear:0) clear_all && stop_listening && exit ;;
  tunnel:[6-9] | tunnel:1[0-9]) mode=tunnel ;;
  gre:[6-9] | gre:1[0-9]) mode=transport ;;
  *) usage ;;
esac
near=$1 far=$2 spi_in=$3 key_in=$4 spi_out=$5 key_out=$6
shift 6
window=64 common=() in="" out=""
for option in "$@"; do
  case $option in
    esn) common+=(flag esn) ;;
    udp) common+=(encap espinudp 4500 4500 "::") && listen ;;
    window=*) window=${option#*=} ;;
    in-seq=*) in=$(sequence replay-seq "${option#*=}") ;;
    out-seq=*) out=$(sequence replay-oseq "${option#*=}") ;;
    *) usage ;;
  esac
done
# Any inner family, not only that of the outer addresses.
[ "$mode" = transport ] || common=(flag af-unspec "${common[@]}")
clear_all
{
  # shellcheck disable=SC2086 # words
  state "$far" "$near" "$spi_in" "$key_in" replay-window "$window" $in
  # shellcheck disable=SC2086 # words
  state "$near" "$far" "$spi_out" "$key_out" replay-window "$window" $out
  if [ "$mode" = tunnel ]; then
    policies 10.9.0.2/32 10.9.0.1/32
    policies fd00:9::2/128 fd00:9::1/128
    echo "address add 10.9.0.2/32 dev lo"
    echo "address add fd00:9::2/128 dev lo nodad"
    echo "route add 10.9.0.1 dev eth0 src 10.9.0.2"
    echo "route add fd00:9::1 dev eth0 src fd00:9::2"
  else
    policies "$near" "$far" proto gre
  fi
} | ip -batch -
