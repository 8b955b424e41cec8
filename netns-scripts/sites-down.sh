#!/usr/bin/env bash
# Takes away what sites-up.sh made: both daemons, both namespaces, the wire and the state directory.
#
#   namespace adit-west ---- veth ---- namespace adit-east      (the picture with addresses is in sites-up.sh)
#
# Environment: ADIT_SITES_PREFIX, ADIT_SITES_DIR as given to sites-up.sh.
set -euo pipefail
# shellcheck source=netns-scripts/sites.sh
. "$(dirname "${BASH_SOURCE[0]}")/sites.sh"
sites_down
