"""The agent's RPC over one long-lived connection, without blocking: as much of msgpack as it needs, requests and their answers."""

import socket
import struct
from collections.abc import Callable

# Commands whose answer has a body, also after an error.
WITH_BODY = {"join", "members", "install-key", "use-key", "remove-key", "list-keys", "stats"}


def encode(value: object) -> bytes:
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return bytes([value]) if value < 128 else b"\xcf" + struct.pack(">Q", value)
    if isinstance(value, str):
        raw = value.encode()
        head = bytes([0xA0 | len(raw)]) if len(raw) < 32 else b"\xda" + struct.pack(">H", len(raw))
        return head + raw
    if isinstance(value, list):
        return b"\xdc" + struct.pack(">H", len(value)) + b"".join(map(encode, value))
    if isinstance(value, dict):
        return bytes([0x80 | len(value)]) + b"".join(encode(part) for pair in value.items() for part in pair)
    raise TypeError(type(value))


class Incomplete(Exception):
    pass


# For each tag: the format of a number, or of the length of a string, list or map.
NUMBERS = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}
STRINGS = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
LISTS = {0xDC: ">H", 0xDD: ">I"}
MAPS = {0xDE: ">H", 0xDF: ">I"}


def number(form: str, buffer: bytes, at: int) -> tuple:
    try:
        return struct.unpack_from(form, buffer, at)[0], at + struct.calcsize(form)
    except struct.error:
        raise Incomplete from None


def decode(buffer: bytes, at: int) -> tuple:
    """Returns the object that begins at this offset, and the offset after it. Text and binary are both bytes."""
    if at >= len(buffer):
        raise Incomplete
    tag = buffer[at]
    at += 1
    if tag < 0x80:
        return tag, at
    if 0xA0 <= tag < 0xC0:
        length = tag & 31
    elif tag < 0x90:
        return pairs(buffer, at, tag & 15)
    elif tag < 0xA0:
        return items(buffer, at, tag & 15)
    elif tag >= 0xE0:
        return tag - 256, at
    elif tag in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[tag], at
    elif tag in NUMBERS:
        return number(NUMBERS[tag], buffer, at)
    elif tag in LISTS:
        length, at = number(LISTS[tag], buffer, at)
        return items(buffer, at, length)
    elif tag in MAPS:
        length, at = number(MAPS[tag], buffer, at)
        return pairs(buffer, at, length)
    else:
        length, at = number(STRINGS[tag], buffer, at)
    if at + length > len(buffer):
        raise Incomplete
    return buffer[at : at + length], at + length


def items(buffer: bytes, at: int, count: int) -> tuple:
    found = []
    for _ in range(count):
        item, at = decode(buffer, at)
        found.append(item)
    return found, at


def pairs(buffer: bytes, at: int, count: int) -> tuple:
    found = {}
    for _ in range(count):
        key, at = decode(buffer, at)
        found[key], at = decode(buffer, at)
    return found, at


class Connection:
    """`answered` of a request gets the error, empty if there is none, and the body or None."""

    def __init__(self, address: tuple, closed: Callable) -> None:
        self.socket = socket.create_connection(address, timeout=5)
        self.socket.setblocking(False)
        self.closed = closed
        self.input = b""
        self.output = b""
        self.seq = 0
        self.waiting: dict = {}
        # The header of a record whose body has not arrived yet.
        self.header: dict | None = None
        self.stream: tuple | None = None
        self.request("handshake", {"Version": 1})

    def request(self, command: str, body: dict | None = None, answered: Callable = lambda error, body: None) -> None:
        self.seq += 1
        self.waiting[self.seq] = (command in WITH_BODY, answered)
        self.send(encode({"Command": command, "Seq": self.seq}) + (encode(body) if body is not None else b""))

    def subscribe(self, kinds: str, deliver: Callable, answered: Callable) -> None:
        self.request("stream", {"Type": kinds}, answered)
        self.stream = (self.seq, deliver)

    def send(self, data: bytes) -> None:
        self.output += data
        self.flush()

    def flush(self) -> None:
        while self.output:
            try:
                self.output = self.output[self.socket.send(self.output) :]
            except BlockingIOError:
                return
            except OSError:
                self.close()
                return

    def close(self) -> None:
        if self.socket.fileno() >= 0:
            self.closed(self)
            self.socket.close()
            self.output = b""

    def readable(self) -> None:
        try:
            data = self.socket.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self.input += data
        at = 0
        try:
            while at < len(self.input):
                at = self.record(at)
        except Incomplete:
            pass
        self.input = self.input[at:]

    def record(self, at: int) -> int:
        """Takes the header or the body that begins at this offset, and returns the offset after it."""
        part, at = decode(self.input, at)
        if self.header is not None:
            header, self.header = self.header, None
            if header[b"Seq"] in self.waiting:
                self.waiting.pop(header[b"Seq"])[1](header[b"Error"].decode(), part)
            elif self.stream and self.stream[0] == header[b"Seq"]:
                self.stream[1](part)
        elif part[b"Seq"] not in self.waiting or self.waiting[part[b"Seq"]][0]:
            self.header = part
        else:
            self.waiting.pop(part[b"Seq"])[1](part[b"Error"].decode(), None)
        return at
