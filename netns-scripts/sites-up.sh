#!/usr/bin/env bash
# Two sites, a wire, an adit in each, a GRE tunnel between them.
#
#   namespace adit-west                                         namespace adit-east
#   +-------------------------------------+                     +-------------------------------------+
#   | lo     10.10.0.1/24  (the LAN)      |                     | lo     10.20.0.1/24  (the LAN)      |
#   | gre0   10.9.0.1/30   fd00:9::1/64   |~~~~~~~ tunnel ~~~~~~| gre0   10.9.0.2/30   fd00:9::2/64   |
#   |        route 10.20.0.0/24           |                     |        route 10.10.0.0/24           |
#   | adit   /run/adit-sites/adit/west.*  |                     | adit   /run/adit-sites/adit/east.*  |
#   | wire0  192.0.2.1/24  2001:db8::1/64 |------- veth --------| wire0  192.0.2.2/24  2001:db8::2/64 |
#   +-------------------------------------+                     +-------------------------------------+
#
# Things to do then:
#   ip netns exec adit-west ping -I 10.10.0.1 10.20.0.1      through the tunnel
#   ip netns exec adit-west tcpdump -ni wire0 proto gre      what the wire sees
#   adit events --socket /run/adit-sites/adit/west.sock      while:
#   ip -n adit-east link set wire0 down                      the peer goes silent
#   netns-scripts/sites-down.sh                              takes all of it away
#
# Environment: ADIT (the binary), ADIT_SITES_PREFIX (names begin with it; default adit), ADIT_SITES_DIR.
set -euo pipefail
# shellcheck source=netns-scripts/sites.sh
. "$(dirname "${BASH_SOURCE[0]}")/sites.sh"

find_adit
if [ -e "/run/netns/$prefix-west" ] || [ -e "/run/netns/$prefix-east" ]; then
  die "the sites are up already: sites-down.sh takes them away"
fi
trap 'sites_down' ERR
wire_make

# site_config SITE OWN PEER: the last octets of the two outer addresses name the sites
site_config() {
  cat >"$state/$1.toml" <<TOML
[tunnel.$1]
mode      = "gre"
interface = "gre0"
local     = "192.0.2.$2"
remote    = "192.0.2.$3"
addresses = ["10.9.0.$2/30", "fd00:9::$2/64"]
routes    = ["10.${3}0.0.0/24"]
gre       = { key = 42, checksum = true, sequence = true }
keepalive = { period = "1s", retries = 3 }
on-dead   = ["carrier", "withdraw-routes"]
TOML
}
site_config west 1 2
site_config east 2 1
adit_start west
adit_start east
adit_wait_up west
adit_wait_up east
trap - ERR

sed -n '/^# Things to do then:/,/^# *netns-scripts/{s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" |
  sed -e "s/adit-west/$prefix-west/g;s/adit-east/$prefix-east/g;s#/run/adit-sites/adit#$state#g;s#^  adit #  $adit #"
