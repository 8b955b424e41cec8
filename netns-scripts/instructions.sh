#!/usr/bin/env bash
# Instructions that adit spends on one echo request and its reply, by source file, counted by callgrind: what liveness and counters cost.
#
#   namespace adit-count-west                        namespace adit-count-east
#   +--------------------------+                     +--------------------------------+
#   | ping -f                  |                     |                                |
#   | tunnel0  10.9.0.1  adit  |~~~~~~~ tunnel ~~~~~~| tunnel0  10.9.0.2  adit,       |
#   |                          |                     |                    counted     |
#   | wire0 192.0.2.1/24       |------- veth --------| wire0 192.0.2.2/24             |
#   +--------------------------+                     +--------------------------------+
#
#   instructions.sh [PINGS [gre|esp-udp]]
#
# One packet comes in and one goes out for each ping, each alone in its batch: the dearest case. Needs valgrind.
# Environment: ADIT (the binary; a release build).
set -euo pipefail
export ADIT_SITES_PREFIX=${ADIT_SITES_PREFIX:-adit-count}
# shellcheck source=netns-scripts/sites.sh
. "$(dirname "${BASH_SOURCE[0]}")/sites.sh"

pings=${1:-20000} mode=${2:-gre}
case $mode in gre | esp-udp) ;; *) die "no mode \"$mode\": gre or esp-udp" ;; esac
find_adit
command -v valgrind >/dev/null || die "no valgrind: apt-get install valgrind"
trap sites_down EXIT
trap 'exit 130' INT TERM
wire_make

for site in west east; do
  own=1 peer=2
  [ "$site" = west ] || own=2 peer=1
  cat >"$state/$site.toml" <<TOML
[tunnel.$site]
mode      = "${mode%-udp}"
interface = "tunnel0"
local     = "192.0.2.$own"
remote    = "192.0.2.$peer"
addresses = ["10.9.0.$own/30"]
keepalive = { period = "5s", retries = 3 }
TOML
  [ "$mode" = esp-udp ] || continue
  cat >>"$state/$site.toml" <<TOML
udp = true
sa  = { out = { spi = 0x100$own, key-file = "$site-out.key" }, in = { spi = 0x100$peer, key-file = "$site-in.key" } }
TOML
  "$adit" keygen --suite aes128gcm16 "$state/$site-out.key" >/dev/null
done
if [ "$mode" = esp-udp ]; then
  cp -p "$state/west-out.key" "$state/east-in.key"
  cp -p "$state/east-out.key" "$state/west-in.key"
fi

adit_start west
run_detached east valgrind --tool=callgrind --collect-atstart=yes "--callgrind-out-file=$state/count" \
  "$adit" run -c "$state/east.toml" --socket "$state/east.sock"
adit_wait_up west
adit_wait_up east
ip netns exec "$prefix-west" ping -q -f -c "$pings" -s 1000 10.9.0.2 >/dev/null
site_stop "$state/east.pid"
[ -s "$state/count" ] || die "valgrind was too slow to write what it counted"

# Each cost line is "LINE COST" below the file and function that stand last; the line after a calls= line is the callee's.
awk -v pings="$pings" '
  function named(token,   id) {
    id = token
    sub(/ .*/, "", id)
    if (token ~ / /) { sub(/^[^ ]* /, "", token); names[id] = token }
    return names[id]
  }
  /^f[lie]=/ { file = named(substr($0, 4)); next }
  /^cf[li]=/ { named(substr($0, 5)); next }
  /^calls=/ { callee = 1; next }
  /^[-+*0-9]/ { if (callee) callee = 0; else if (NF == 2) { cost[file] += $2; all += $2 } }
  END {
    for (file in cost) {
      kind = "the rest"
      if (file ~ /liveness\/|counters\.rs|dataplane\/keepalive\.rs|sync\/atomic\.rs/) kind = "liveness and counters"
      else if (file ~ /time\/unix|pal\/unix\/time|clock_gettime/) kind = "clock"
      sum[kind] += cost[file]
    }
    for (kind in sum) printf "%8.1f instructions a packet  %5.1f %%  %s\n", sum[kind] / pings / 2, 100 * sum[kind] / all, kind
    printf "%8.1f instructions a packet  in user space\n", all / pings / 2
  }' "$state/count"
