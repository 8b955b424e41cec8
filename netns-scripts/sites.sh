# shellcheck shell=bash
# The two sites that sites-up.sh, sites-down.sh and instructions.sh share; sourced, not run.

prefix=${ADIT_SITES_PREFIX:-adit}
state=${ADIT_SITES_DIR:-/run/adit-sites/$prefix}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

die() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

[ "$(id -u)" = 0 ] || die "network namespaces need root"

# Sets adit to the program to run: $ADIT, else the newest build here, else the installed one.
adit=
find_adit() {
  if [ -n "${ADIT-}" ]; then
    adit=$ADIT
  else
    adit=$(find "$here/../target/release/adit" "$here/../target/debug/adit" -printf '%T@ %p\n' 2>/dev/null | sort -rn | head -n 1 | cut -d" " -f2- || true)
    adit=${adit:-$(command -v adit || true)}
  fi
  [ -x "$adit" ] || die "no adit: cargo build --release, or name one with ADIT="
  adit=$(realpath "$adit")
}

wire_make() {
  local site number=0
  mkdir -p "$state"
  for site in west east; do
    ip netns add "$prefix-$site"
    ip -n "$prefix-$site" link set lo up
  done
  ip link add name wire0 netns "$prefix-west" type veth peer name wire0 netns "$prefix-east"
  for site in west east; do
    number=$((number + 1))
    ip -n "$prefix-$site" address add "192.0.2.$number/24" dev wire0
    ip -n "$prefix-$site" address add "2001:db8::$number/64" dev wire0 nodad
    ip -n "$prefix-$site" address add "10.${number}0.0.1/24" dev lo
    ip -n "$prefix-$site" link set wire0 up
  done
}

# run_detached SITE COMMAND...: in the site, its number in $state/SITE.pid, its output in $state/SITE.log.
run_detached() {
  local site=$1
  shift
  # shellcheck disable=SC2016 # the inner shell is the one to expand it
  setsid -f ip netns exec "$prefix-$site" sh -c 'echo $$ >"$1"; shift; exec "$@"' sh "$state/$site.pid" "$@" </dev/null >"$state/$site.log" 2>&1
  until [ -s "$state/$site.pid" ]; do
    sleep 0.02
  done
}

# adit_start SITE: the daemon of a site, with $state/SITE.toml.
adit_start() {
  run_detached "$1" "$adit" run -c "$state/$1.toml" --socket "$state/$1.sock"
}

# adit_wait_up SITE: until the site's tunnel says up.
adit_wait_up() {
  local site=$1 end=$((SECONDS + 15))
  until "$adit" status --socket "$state/$site.sock" --json 2>/dev/null | grep -q '"state": *"up"'; do
    [ $SECONDS -lt $end ] || die "$site is not up after 15 s: $(tail -n 20 "$state/$site.log")"
    sleep 0.1
  done
}

# site_stop FILE: ends the process whose number is in FILE, and waits for it.
site_stop() {
  local pid end=$((SECONDS + 5))
  [ -s "$1" ] || return 0
  pid=$(cat "$1")
  rm -f "$1"
  kill -TERM "$pid" 2>/dev/null || return 0
  while kill -0 "$pid" 2>/dev/null; do
    [ $SECONDS -lt $end ] || kill -KILL "$pid" 2>/dev/null || true
    sleep 0.05
  done
}

sites_down() {
  local file site
  for file in "$state"/*.pid; do
    site_stop "$file"
  done
  for site in west east; do
    if [ -e "/run/netns/$prefix-$site" ]; then
      ip netns delete "$prefix-$site"
    fi
  done
  rm -rf "$state"
}
