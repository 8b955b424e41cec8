#!/usr/bin/env bash
# Throughput and round-trip time of a GRE tunnel against the bare wire, and against another tunnel program, in one run.
#
#   namespace adit-bench-west                            namespace adit-bench-east
#   +------------------------------+                     +------------------------------+
#   | iperf3 -c, ping              |                     | iperf3 -s                    |
#   | gre0   10.9.0.1/24  adit     |~~~~~~~ tunnel ~~~~~~| gre0   10.9.0.2/24  adit     |
#   | base0  10.8.0.1/24  baseline |~~~~~~~ tunnel ~~~~~~| base0  10.8.0.2/24  baseline |
#   | wire0  192.0.2.1/24          |------- veth --------| wire0  192.0.2.2/24          |
#   +------------------------------+                     +------------------------------+
#
#   bench.sh [--rounds N] [--seconds N] [--gre TOML] [--baseline COMMAND]
#
# Every round measures the wire, adit and the baseline one after the other, only one tunnel running at a time; the table
# shows medians, and medians of the ratios inside a round: figures of different rounds or machines do not compare.
# COMMAND is run by sh in both namespaces and has to make device $DEVICE with address $INNER, from $LOCAL to $REMOTE.
# Example:
#   netns-scripts/bench.sh --gre '{ key = 42 }' --baseline 'exec relay "$DEVICE" "$LOCAL" "$REMOTE" null "$INNER" 1476'
#
# Environment: ADIT (the binary; a release build measures best).
set -euo pipefail
export ADIT_SITES_PREFIX=${ADIT_SITES_PREFIX:-adit-bench}
# shellcheck source=netns-scripts/sites.sh
. "$(dirname "${BASH_SOURCE[0]}")/sites.sh"

rounds=3 seconds=5 gre='{}' baseline=
while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || die "$1 needs a value"
  case $1 in
    --rounds) rounds=$2 ;;
    --seconds) seconds=$2 ;;
    --gre) gre=$2 ;;
    --baseline) baseline=$2 ;;
    *) die "unknown option $1" ;;
  esac
  shift 2
done

find_adit
[ ! -e "/run/netns/$prefix-west" ] || die "$prefix-west exists: a bench is running, or ADIT_SITES_PREFIX=$prefix sites-down.sh"
trap sites_down EXIT
trap 'exit 130' INT TERM
wire_make
results=$state/results
: >"$results"

west() { ip netns exec "$prefix-west" "$@"; }
east() { ip netns exec "$prefix-east" "$@"; }

setsid -f ip netns exec "$prefix-east" iperf3 -s -I "$state/iperf3.pid" </dev/null >"$state/iperf3.log" 2>&1

# receiver_line FIELD: the rate in kbit/s or the lost/total column of iperf3's closing line.
receiver_line() {
  awk -v want="$1" '/receiver/ { for (i = 1; i <= NF; i++) { if ($i == "Kbits/sec") rate = $(i - 1); if ($i ~ /^[0-9]+\/[0-9]+$/) packets = $i } }
    END { if (want == "rate") print rate / 1e6; else { split(packets, n, "/"); print (n[2] - n[1]) / 1e3 / want } }'
}

# client OPTION...: one run of the iperf3 client against $target; a flood can starve the control connection, hence three tries.
client() {
  local try
  for try in 1 2 3; do
    if west iperf3 -c "$target" -t "$seconds" -f k "$@" >"$state/client" 2>&1; then
      cat "$state/client"
      return
    fi
    sleep "$try"
  done
  die "$what: iperf3 $*: $(tail -n 3 "$state/client")"
}

# percentile P: of the numbers on standard input, one a line.
percentile() { sort -n | awk -v p="$1" '{ v[NR] = $1 } END { i = int(NR * p / 100 + 0.5); print v[i < 1 ? 1 : i] }'; }

record() { echo "$round $what $1 $2" >>"$results"; }

# cpu_seconds: what the two tunnel processes have used; memory_mib: what they hold.
cpu_seconds() { cat "$state"/west.pid "$state"/east.pid | sed 's#.*#/proc/&/stat#' | xargs cat | awk -v hz="$(getconf CLK_TCK)" '{ s += ($14 + $15) / hz } END { print s }'; }
memory_mib() { cat "$state"/west.pid "$state"/east.pid | sed 's#.*#/proc/&/status#' | xargs cat | awk '/^VmRSS/ { s += $2 } END { print s / 1024 }'; }

# measure TARGET: all figures of what lies between west and TARGET.
measure() {
  local target=$1 end=$((SECONDS + 15)) before rate
  until west ping -q -c 1 -W 1 "$target" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || die "$what: $target does not answer: $(cat "$state"/west.log "$state"/east.log 2>/dev/null | tail -n 20)"
  done
  [ "$what" = wire ] || before=$(cpu_seconds)
  rate=$(client | receiver_line rate)
  record tcp1_gbps "$rate"
  if [ "$what" != wire ]; then
    record cpu_s_per_gb "$(cpu_seconds | awk -v before="$before" -v rate="$rate" -v seconds="$seconds" '{ print ($1 - before) / (rate * seconds / 8) }')"
  fi
  rate=$(client -P 4 | grep SUM | receiver_line rate)
  record tcp4_gbps "$rate"
  rate=$(client -u -b 0 -l 64 | receiver_line "$seconds")
  record udp64_kpps "$rate"
  rate=$(client -u -b 0 -l 1372 | receiver_line rate)
  record udp1400_gbps "$rate"
  west ping -i 0.002 -c 500 "$target" | sed -n 's/.*time=\([0-9.]*\) ms/\1/p' | awk '{ print $1 * 1000 }' >"$state/times"
  record ping_p50_us "$(percentile 50 <"$state/times")"
  record ping_p99_us "$(percentile 99 <"$state/times")"
  [ "$what" = wire ] || record rss_both_mib "$(memory_mib)"
}

# site_config SITE OWN PEER
site_config() {
  cat >"$state/$1.toml" <<TOML
[tunnel.$1]
mode      = "gre"
interface = "gre0"
local     = "192.0.2.$2"
remote    = "192.0.2.$3"
addresses = ["10.9.0.$2/24"]
gre       = $gre
keepalive = { period = "1s", retries = 3 }
TOML
}

# baseline_start SITE OWN PEER
baseline_start() {
  run_detached "$1" env DEVICE=base0 "LOCAL=192.0.2.$2" "REMOTE=192.0.2.$3" "INNER=10.8.0.$2/24" sh -c "$baseline"
}

stop_both() {
  site_stop "$state/west.pid"
  site_stop "$state/east.pid"
}

site_config west 1 2
site_config east 2 1
for round in $(seq "$rounds"); do
  echo "round $round of $rounds" >&2
  what=wire
  measure 192.0.2.2
  what=adit
  adit_start west
  adit_start east
  measure 10.9.0.2
  stop_both
  [ -n "$baseline" ] || continue
  what=baseline
  baseline_start west 1 2
  baseline_start east 2 1
  measure 10.8.0.2
  stop_both
done

awk -v has_baseline="${baseline:+1}" '
  function median(list, n, i, j, t, v) {
    n = split(list, v, " ")
    if (n == 0) return "-"
    for (i = 2; i <= n; i++) for (j = i; j > 1 && v[j - 1] + 0 > v[j] + 0; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
    return sprintf("%.2f", n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2)
  }
  function ratios(metric, other, r, list) {
    for (r = 1; r <= rounds; r++) if (value[r, other, metric] > 0) list = list " " value[r, "adit", metric] / value[r, other, metric]
    return median(list)
  }
  { value[$1, $2, $3] = $4; all[$2, $3] = all[$2, $3] " " $4; if (!($3 in seen)) { seen[$3] = 1; order[++metrics] = $3 } if ($1 > rounds) rounds = $1 }
  END {
    printf "%-14s %10s %10s %10s %11s %14s\n", "median of " rounds, "wire", "adit", "baseline", "adit/wire", "adit/baseline"
    for (m = 1; m <= metrics; m++) {
      k = order[m]
      printf "%-14s %10s %10s %10s %11s %14s\n", k, median(all["wire", k]), median(all["adit", k]), median(all["baseline", k]), ratios(k, "wire"), ratios(k, "baseline")
    }
  }' "$results"
