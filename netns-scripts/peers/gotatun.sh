#!/usr/bin/env bash
# gotatun in the namespace where this runs (the picture and the environment are in common.sh).
set -euo pipefail
# shellcheck source=netns-scripts/peers/wireguard.sh
. "$(dirname "${BASH_SOURCE[0]}")/wireguard.sh"

wireguard gotatun --foreground --disable-drop-privileges --verbosity error "$DEVICE"
