#!/usr/bin/env bash
# Installs other tunnel programs to compare adit with: Debian's packages by apt, Rust programs under target/peers.
#
#   install.sh NAME...
#
# Nothing else here installs anything. Environment: CARGO_BUILD_JOBS and cargo's others.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

boringtun_version=0.7.1
gotatun_version=0.10.2

die() {
  echo "install.sh: $*" >&2
  exit 1
}

apt() {
  apt-get -q update
  DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@"
}

# program CRATE VERSION
program() {
  cargo install --locked --root "$here/../../target/peers" --version "$2" "$1"
}

[ $# -gt 0 ] || die "which? boringtun fastd gotatun openvpn strongswan wireguard-go"
for name in "$@"; do
  case $name in
    boringtun)
      apt wireguard-tools
      program boringtun-cli "$boringtun_version"
      ;;
    fastd) apt fastd ;;
    gotatun)
      apt wireguard-tools
      program gotatun-cli "$gotatun_version"
      ;;
    openvpn) apt openvpn openssl ;;
    strongswan) apt charon-systemd strongswan-swanctl libcharon-extra-plugins libstrongswan-standard-plugins ;;
    wireguard-go) apt wireguard-go wireguard-tools ;;
    *) die "unknown: $name" ;;
  esac
done
