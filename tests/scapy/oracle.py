#!/usr/bin/python3
"""Opens and seals ESP packets with scapy, which shares no line with adit.

Reads one JSON object a line and answers each with one line:

    {"do": "open", "esp": HEX, ASSOCIATION}                      {"seq": N, "iv": HEX, "next_header": N, "payload": HEX} or {"refused": WHY}
    {"do": "seal", "inner": HEX, "seq": N, ASSOCIATION}          {"esp": HEX}

ASSOCIATION: "key_file": PATH, "spi": N, "esn": BOOL, "seq_hi": N, "tunnel": BOOL. "inner" is the IP packet, in transport mode the GRE packet.
"""

import json
import sys

from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import ESP, IPSecIntegrityError, SecurityAssociation
from scapy.packet import Raw

ALGORITHMS = {"aes128gcm16": "AES-GCM", "aes256gcm16": "AES-GCM", "chacha20poly1305": "CHACHA20-POLY1305"}
KEYMAT_OCTETS = {"aes128gcm16": 20, "aes256gcm16": 36, "chacha20poly1305": 36}
ESP_PROTOCOL = 50
GRE_PROTOCOL = 47
# Of no importance: ESP does not authenticate the outer header.
OUTER = {"src": "192.0.2.1", "dst": "192.0.2.2"}


def read_key(path):
    """The suite's name and key | salt."""
    with open(path, encoding="ascii") as file:
        lines = [line.split() for line in file if line.strip() and not line.startswith("#")]
    [[suite, keymat]] = lines
    octets = bytes.fromhex(keymat.removeprefix("0x"))
    assert len(octets) == KEYMAT_OCTETS[suite]
    return suite, octets


def association(request, seq_lo):
    suite, keymat = read_key(request["key_file"])
    return SecurityAssociation(
        ESP,
        spi=request["spi"],
        seq_num=seq_lo,
        crypt_algo=ALGORITHMS[suite],
        crypt_key=keymat,
        tunnel_header=IP(**OUTER) if request["tunnel"] else None,
        esn_en=request["esn"],
        esn=request["seq_hi"],
    )


def open_packet(request):
    octets = bytes.fromhex(request["esp"])
    outer = IP(bytes(IP(**OUTER, proto=ESP_PROTOCOL) / Raw(octets)))
    header = outer[ESP]
    seq_lo = header.seq
    iv = bytes(header.data[:8])
    try:
        inside = association(request, seq_lo).decrypt(outer)
    except (IPSecIntegrityError, TypeError) as error:
        return {"refused": type(error).__name__}
    # In tunnel mode scapy leaves the next header in the outer header and gives the inner packet, else it gives the packet without ESP.
    next_header = outer.proto if request["tunnel"] else inside.proto
    payload = inside if request["tunnel"] else inside.payload
    return {"seq": seq_lo, "iv": iv.hex(), "next_header": next_header, "payload": bytes(payload).hex()}


def seal_packet(request):
    octets = bytes.fromhex(request["inner"])
    seq_lo = request["seq"] & 0xFFFFFFFF
    if request["tunnel"]:
        inner = (IP if octets[0] >> 4 == 4 else IPv6)(octets)
    else:
        inner = IP(bytes(IP(**OUTER, proto=GRE_PROTOCOL) / Raw(octets)))
    sealed = association(request, seq_lo).encrypt(inner)
    return {"esp": bytes(sealed[ESP]).hex()}


def main():
    actions = {"open": open_packet, "seal": seal_packet}
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(actions[request["do"]](request)), flush=True)


if __name__ == "__main__":
    main()
