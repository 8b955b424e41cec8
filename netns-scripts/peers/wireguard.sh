# shellcheck shell=bash
# What the implementations of WireGuard share: one peer at each end, keys made for this run, set by wg; sourced, not run.
# shellcheck source=netns-scripts/peers/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# IPv4 20, UDP 8, data message header 16, tag 16.
wireguard_overhead_octets=60
wireguard_port=51820

# wireguard COMMAND...: the program with its options, which stays in the foreground.
wireguard() {
  need wg "$1"
  # The control socket is /var/run/wireguard/DEVICE.sock, and DEVICE has the same name on both sides.
  if [ -z "${WIREGUARD_RUN_IS_PRIVATE-}" ]; then
    exec env WIREGUARD_RUN_IS_PRIVATE=yes unshare --mount --propagation private "$script"
  fi
  wg genkey >key
  wg pubkey <key | publish public-key
  await public-key >peer-key
  mkdir run
  # After this no path below /run leads to STATE or SHARED; STATE is the working directory.
  mount --bind run "$(realpath /var/run)"
  run "$@"
}

configure() {
  wait_for wg show "$DEVICE"
  wg set "$DEVICE" private-key key listen-port "$wireguard_port" \
    peer "$(cat peer-key)" endpoint "$REMOTE:$wireguard_port" allowed-ips "${PEER_INNER%/*}/32"
  bring_up "$wireguard_overhead_octets"
}
