#!/usr/bin/env bash
# fastd over UDP with AES-128-GCM in the namespace where this runs (the picture and the environment are in common.sh).
set -euo pipefail
# shellcheck source=netns-scripts/peers/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# IPv4 20, UDP 8, packet type 1, nonce 7, tag 16.
overhead_octets=52
port=10000

configure() { bring_up "$overhead_octets"; }

need fastd
fastd --generate-key --machine-readable >secret 2>fastd.log || die "$(cat fastd.log)"
cat >fastd.conf <<CONF
log level warn;
mode tun;
interface "$DEVICE";
mtu $((MTU - overhead_octets));
method "aes128-gcm";
bind $LOCAL:$port;
secret "$(cat secret)";
CONF
fastd --config fastd.conf --show-key --machine-readable | publish public-key
cat >>fastd.conf <<CONF
peer "$other" {
  key "$(await public-key)";
  remote $REMOTE:$port;
}
CONF
run fastd --config fastd.conf
