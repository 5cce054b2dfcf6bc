"""What the kernel tells about ends, heard without any code of the collector: exit records and devices that go away.

Prints "ready", then "exit PROCESS THREAD NS" and "gone DEVICE RX_BYTES TX_BYTES RX_PACKETS TX_PACKETS" (the host's view).
"""

import select
import socket
import struct

HEADER = struct.Struct("=IHHII")


def attribute(kind, data):
    length = 4 + len(data)
    return struct.pack("=HH", length, kind) + data + bytes(-length % 4)


def attributes(data):
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            return
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += (length + 3) & ~3


def messages(data):
    at = 0
    while at + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, at)
        yield kind, data[at + 16 : at + length]
        at += (length + 3) & ~3


def listen_to_exits():
    exits = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16)
    exits.bind((0, 0))
    exits.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)

    def send(family, command, body):
        body = struct.pack("=BBH", command, 1, 0) + body
        exits.send(HEADER.pack(16 + len(body), family, 5, 1, 0) + body)

    send(16, 3, attribute(2, b"TASKSTATS\0"))
    family = None
    while family is None:
        for kind, body in messages(exits.recv(65536)):
            if kind == 16:
                family = struct.unpack("=H", dict(attributes(body[4:]))[1])[0]
    processors = open("/sys/devices/system/cpu/possible").read().strip()
    send(family, 1, attribute(3, processors.encode() + b"\0"))
    return exits, family


def main():
    exits, family = listen_to_exits()
    links = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    links.bind((0, 1))
    print("ready", flush=True)
    while True:
        for ready in select.select([exits, links], [], [])[0]:
            for kind, body in messages(ready.recv(1 << 20)):
                if ready is exits and kind == family:
                    for aggregate, data in attributes(body[4:]):
                        if aggregate == 4:
                            parts = dict(attributes(data))
                            thread, stats = struct.unpack("=I", parts[1])[0], parts[3]
                            process = struct.unpack_from("=I", stats, 368)[0]
                            print("exit", process, thread, struct.unpack_from("=Q", stats, 72)[0], flush=True)
                if ready is links and kind == 17 and body[0] == 0:
                    parts = dict(attributes(body[16:]))
                    if 23 in parts:
                        rx_packets, tx_packets, rx_bytes, tx_bytes = struct.unpack_from("=4Q", parts[23])
                        name = parts[3].rstrip(b"\0").decode()
                        print("gone", name, rx_bytes, tx_bytes, rx_packets, tx_packets, flush=True)


main()
