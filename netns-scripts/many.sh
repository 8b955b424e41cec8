#!/usr/bin/env bash
# Many IKEv2 tunnels between two namespaces: how long until all are up, what a silent peer does to them, and how long until they are back.
#
#   netns-scripts/many.sh [TUNNELS]
#
# As root; builds adit first. One end initiates, the other one waits; each tunnel has identities, an interface and routes of its own. Prints times from
# the start of both ends, then from the cut of the wire to the last verdict, then from its mending to the last tunnel; and the memory of each end.
set -euo pipefail

tunnels=${1:-1000}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
(cd "$root" && cargo build --release --quiet)
adit=$root/target/release/adit
dir=$(mktemp -d)
west=many$$a east=many$$b
pids=()

# shellcheck disable=SC2329  # called by the trap
clean_up() {
  for pid in "${pids[@]}"; do
    disown "$pid"
    kill -KILL "$pid" 2>/dev/null || true
  done
  for name in "$west" "$east"; do ip netns delete "$name" 2>/dev/null || true; done
  rm -rf "$dir"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

for name in "$west" "$east"; do
  ip netns add "$name"
  ip -n "$name" link set lo up
done
ip link add wire netns "$west" type veth peer name wire netns "$east"
number=1
for name in "$west" "$east"; do
  ip -n "$name" address add 192.0.2.$number/24 dev wire
  ip -n "$name" link set wire up
  number=$((number + 1))
done

head -c 32 /dev/urandom | base64 -w 0 >"$dir/psk"
chmod 600 "$dir/psk"

# configure SIDE OUR_NUMBER THEIR_NUMBER START
configure() {
  local side=$1 ours=$2 theirs=$3 start=$4
  echo "ike = { half-open = 2000, half-open-per-source = 2000, cookie-threshold = 2000 }"
  for ((index = 0; index < tunnels; index++)); do
    cat <<TUNNEL
[tunnel.t$index]
mode = "esp"
local = "192.0.2.$ours"
remote = "192.0.2.$theirs"
start = "$start"
addresses = ["10.$((100 + index / 60)).$((index % 60 * 4)).$ours/30"]
ike = { version = 2, psk-file = "$dir/psk", local-id = "$side$index.example", remote-id = "$([ "$side" = west ] && echo east || echo west)$index.example" }
dpd = { mode = "periodic", interval = "10s", retry = "2s", attempts = 3 }
TUNNEL
  done >>"$dir/$side.body"
  cat "$dir/$side.body"
}
configure west 1 2 auto >"$dir/west.toml"
configure east 2 1 passive >"$dir/east.toml"

states() {
  "$adit" status --json --socket "$dir/$1.sock" 2>/dev/null | grep -o "\"state\": *\"$2\"" | wc -l || true
}

# wait_for STATE SECONDS: until that many tunnels of both ends are in that state
wait_for() {
  local begin=$EPOCHREALTIME now
  while true; do
    local west_count east_count
    west_count=$(states west "$1") east_count=$(states east "$1")
    now=$EPOCHREALTIME
    if ((west_count >= tunnels && east_count >= tunnels)); then break; fi
    if ((${now%.*} - ${begin%.*} > $2)); then
      echo "after $2 s only $west_count and $east_count of $tunnels tunnels are $1" >&2
      exit 1
    fi
    sleep 0.1
  done
  awk "BEGIN { printf \"%.1f s\n\", $now - $begin }"
}

for side in east west; do
  name=$([ $side = west ] && echo "$west" || echo "$east")
  ip netns exec "$name" "$adit" run -c "$dir/$side.toml" --socket "$dir/$side.sock" >"$dir/$side.log" 2>&1 &
  pids+=($!)
done
echo "$tunnels tunnels up after $(wait_for up 120)"
for pid in "${pids[@]}"; do
  awk '/VmRSS/ { printf "memory of an end: %.1f MiB\n", $2 / 1024 }' "/proc/$pid/status"
done
# Nothing arrives any more, and no link goes down to say so.
ip netns exec "$west" nft 'add table inet cut; add chain inet cut in { type filter hook prerouting priority -300; policy drop; }'
ip netns exec "$east" nft 'add table inet cut; add chain inet cut in { type filter hook prerouting priority -300; policy drop; }'
echo "all seen down $(wait_for down 60) after the cut"
for side in west east; do
  awk -v side=$side 'match($0, /event="down".* since_last_proof_ms=[0-9]+/) {
    sub(/.*since_last_proof_ms=/, ""); if ($1 + 0 > most) most = $1 + 0
  } END { printf "%s: a verdict at most %.2f s after the last sign of life (interval 10 s, 3 attempts 2 s apart: 16.01 s)\n", side, most / 1000 }' "$dir/$side.log"
done
ip netns exec "$west" nft delete table inet cut
ip netns exec "$east" nft delete table inet cut
echo "all up again $(wait_for up 120) after the mending"
