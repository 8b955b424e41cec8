#!/usr/bin/env bash
# wireguard-go in the namespace where this runs (the picture and the environment are in common.sh).
#
# Debian 12 has the version of March 2022, from before its segmentation offload: call it wireguard-go-2022 in a table.
# Environment: WIREGUARD_GO, another build of it.
set -euo pipefail
# shellcheck source=netns-scripts/peers/wireguard.sh
. "$(dirname "${BASH_SOURCE[0]}")/wireguard.sh"

# wireguard-go would end where the kernel has a WireGuard of its own.
export WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD=1
wireguard "${WIREGUARD_GO:-wireguard-go}" --foreground "$DEVICE"
