#!/usr/bin/env bash
# OpenVPN over UDP with AES-256-GCM in the namespace where this runs (the picture and the environment are in common.sh).
#
# Point to point in TLS mode, each side knows the other by the fingerprint of its certificate: a static key would mean CBC.
set -euo pipefail
# shellcheck source=netns-scripts/peers/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# IPv4 20, UDP 8, opcode and peer id 4, packet id 4, tag 16.
overhead_octets=52

configure() { bring_up "$overhead_octets"; }

need openvpn openssl
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$SIDE" -days 2 -keyout key -out certificate 2>openssl.log ||
  die "$(cat openssl.log)"
openssl x509 -in certificate -noout -fingerprint -sha256 | sed 's/.*=//' | publish fingerprint
fingerprint=$(await fingerprint)
role=(--tls-server --dh none)
[ "$SIDE" = west ] || role=(--tls-client)

options=(
  --dev "$DEVICE" --dev-type tun --tun-mtu "$((MTU - overhead_octets))" --mssfix 0 --ifconfig-noexec
  --ifconfig "${INNER%/*}" "${PEER_INNER%/*}"
  --proto udp4 --local "$LOCAL" --remote "$REMOTE"
  --cert certificate --key key --peer-fingerprint "$fingerprint"
  --data-ciphers AES-256-GCM --auth none
)
# What is compared are tunnels in user space; a kernel may have OpenVPN's data channel as a module, which 2.6 would use.
[[ $(openvpn --help) != *--disable-dco* ]] || options+=(--disable-dco)
run openvpn "${role[@]}" "${options[@]}"
