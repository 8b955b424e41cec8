#!/usr/bin/env bash
# strongSwan's kernel-libipsec, ESP in UDP with AES-128-GCM, in the namespace where this runs (the picture and the environment
# are in common.sh).
#
# IKEv2 with a key that west makes. libipsec knows tunnel mode in UDP only.
set -euo pipefail
# shellcheck source=netns-scripts/peers/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# The device of kernel-libipsec, whose name is compiled in, as is the 1400 octets that it reads of a packet.
device=ipsec0
device_mtu=1400

configure() {
  local vici=unix://$STATE/vici
  wait_for swanctl --load-all --uri "$vici"
  # charon's route needs the address, and finds the device by its first name.
  wait_for ip link property add dev "$device" altname "$DEVICE"
  bring_up "$((MTU - device_mtu))"
  if [ "$SIDE" = west ]; then
    await loaded >/dev/null
    swanctl --initiate --child net --timeout 5 --uri "$vici" >&2
  else
    echo yes | publish loaded
  fi
}

need charon-systemd swanctl
if [ "$SIDE" = west ]; then
  secret=$(head -c 32 /dev/urandom | base64 -w 0)
  echo "$secret" | publish secret
else
  secret=$(await secret)
fi

cat >strongswan.conf <<CONF
charon-systemd {
  load = random nonce openssl gcm hmac kdf drbg curve25519 kernel-libipsec kernel-netlink socket-default vici
  plugins {
    vici {
      socket = unix://$STATE/vici
    }
    kernel-libipsec {
      load = yes
    }
  }
  syslog {
    daemon {
      default = -1
    }
    auth {
      default = -1
    }
  }
  filelog {
    stderr {
      default = 0
    }
  }
}
CONF
mkdir swanctl
cat >swanctl/swanctl.conf <<CONF
connections {
  peer {
    version = 2
    local_addrs = $LOCAL
    remote_addrs = $REMOTE
    proposals = aes128gcm16-prfsha256-x25519
    mobike = no
    local {
      auth = psk
    }
    remote {
      auth = psk
    }
    children {
      net {
        local_ts = ${INNER%/*}/32
        remote_ts = ${PEER_INNER%/*}/32
        esp_proposals = aes128gcm16
        mode = tunnel
      }
    }
  }
}
secrets {
  ike {
    secret = "$secret"
  }
}
CONF
export STRONGSWAN_CONF=$STATE/strongswan.conf SWANCTL_DIR=$STATE/swanctl
run charon-systemd
