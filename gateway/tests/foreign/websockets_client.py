"""Cases of RFC 6455, by the library `websockets`, against a gateway in front of an echo."""

import os
import socket
import struct
import sys

from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect
from websockets.uri import parse_uri

HOST, PORT = sys.argv[1].rsplit(":", 1)
URL = f"ws://{sys.argv[1]}/pulsar"
MOST = 1 << 20


def ok(name):
    print("ok", name, flush=True)


def opened(**options):
    return connect(URL, compression=None, max_size=None, **options)


def receive(ws, length):
    got = b""
    while len(got) < length:
        got += ws.recv(timeout=10)
    assert len(got) == length, (len(got), length)
    return got


def echoes(name, data):
    with opened() as ws:
        ws.send(data)
        whole = data if isinstance(data, bytes) else b"".join(data)
        assert receive(ws, len(whole)) == whole
        ok(name)


def closed_with(ws, code, name):
    try:
        while True:
            ws.recv(timeout=10)
    except ConnectionClosed as closed:
        assert closed.rcvd is not None and closed.rcvd.code == code, closed
    ok(name)


def frame(opcode, payload=b"", fin=True, rsv=0, masked=True, length=None):
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    size = len(payload) if length is None else length
    bit = 0x80 if masked else 0
    if size < 126:
        head = struct.pack("!BB", first, bit | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    if not masked:
        return head + payload
    key = os.urandom(4)
    return head + key + bytes(c ^ key[n % 4] for n, c in enumerate(payload))


class Raw:
    """A socket that the library has upgraded, for bytes that it would never send."""

    def __init__(self):
        self.socket = socket.create_connection((HOST, int(PORT)), timeout=10)
        self.protocol = ClientProtocol(parse_uri(URL))
        self.protocol.send_request(self.protocol.connect())
        self.send(*self.protocol.data_to_send())
        while not self.protocol.events_received():
            self.protocol.receive_data(self.socket.recv(4096))

    def send(self, *data):
        for piece in data:
            self.socket.sendall(piece)

    def frames(self):
        """What comes until the end."""
        while True:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                return
            if not data:
                return
            self.protocol.receive_data(data)
            for event in self.protocol.events_received():
                if isinstance(event, Frame):
                    yield event

    def close_code(self):
        for each in self.frames():
            if each.opcode is Opcode.CLOSE:
                return struct.unpack("!H", each.data[:2])[0] if each.data else 1005
        return None


def breaks(name, code, *data):
    raw = Raw()
    try:
        raw.send(*data)
    except (ConnectionResetError, BrokenPipeError):
        pass
    got = raw.close_code()
    assert got == code, (name, got, code)
    ok(name)


# What is allowed.
echoes("one byte", b"x")
for size in (125, 126, 127, 65535, 65536, MOST):
    echoes(f"a message of {size} bytes", os.urandom(size))
echoes("fragments", [b"one ", b"two ", b"", b"three"])
with opened() as ws:
    ws.send(b"")
    ws.send(b"after")
    assert receive(ws, 5) == b"after"
    ok("an empty message")
with opened() as ws:
    def pieces():
        for n in range(5):
            yield b"%d" % n
            assert ws.ping(b"p%d" % n).wait(10)
    ws.send(pieces())
    assert receive(ws, 5) == b"01234"
    ok("pings between fragments")
with opened() as ws:
    assert ws.ping(b"x" * 125).wait(10)
    ok("a ping of 125 bytes")
for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 3000, 4999):
    with opened() as ws:
        ws.close(code, "why not")
        assert ws.protocol.close_rcvd is not None and ws.protocol.close_rcvd.code == code, ws.protocol.close_rcvd
ok("close codes come back")
raw = Raw()
raw.send(frame(8))
assert raw.close_code() == 1005
ok("a close without a code")
raw = Raw()
for byte in frame(2, b"slowly"):
    raw.send(bytes([byte]))
assert b"".join(each.data for each in (next(raw.frames()),)) in (b"slowly", b"slow", b"s")
ok("a frame byte by byte")
raw = Raw()
raw.send(frame(10, b"nobody asked"), frame(2, b"fine"))
assert next(raw.frames()).data == b"fine"
ok("a pong that nobody asked for")
with opened(subprotocols=["other", "pulsewire"]) as ws:
    assert ws.subprotocol == "pulsewire"
    ok("the subprotocol is chosen")
with opened(origin="https://app.example") as ws:
    ws.send(b"x")
    assert receive(ws, 1) == b"x"
    ok("an origin that is listed")

# What is not.
with opened() as ws:
    ws.send("text")
    closed_with(ws, 1003, "text")
with opened() as ws:
    try:
        ws.send(os.urandom(MOST + 1))
    except ConnectionClosed:
        pass
    closed_with(ws, 1009, "a message one byte too large")
with opened() as ws:
    try:
        ws.send([bytes(MOST // 2)] * 3)
    except ConnectionClosed:
        pass
    closed_with(ws, 1009, "fragments that are too large together")
for origin in ("https://evil.example", "null"):
    try:
        opened(origin=origin)
        raise AssertionError("let in")
    except InvalidStatus as refused:
        assert refused.response.status_code == 403
ok("an origin that is not listed")
breaks("invalid UTF-8 where text is due", 1007, frame(1, b"\xff\xfe\xfd"))
breaks("a frame without a mask", 1002, frame(2, b"x", masked=False))
for rsv in (1, 2, 4):
    breaks(f"reserved bit {rsv}", 1002, frame(2, b"x", rsv=rsv))
for opcode in (3, 7, 11, 15):
    breaks(f"reserved opcode {opcode}", 1002, frame(opcode, b"x"))
breaks("a ping of 126 bytes", 1002, frame(9, b"x" * 126))
breaks("a ping in fragments", 1002, frame(9, b"x", fin=False))
breaks("a continuation of nothing", 1002, frame(0, b"x"))
breaks("a message within a message", 1002, frame(2, b"x", fin=False), frame(2, b"y"))
breaks("a close of one byte", 1002, frame(8, b"x"))
for code in (0, 999, 1005, 1006, 1015, 2999, 5000):
    breaks(f"close code {code}", 1002, frame(8, struct.pack("!H", code)))
breaks("a frame of 4 GB", 1009, frame(2, b"", length=4 << 30))
breaks("a frame of 2^63 bytes", 1009, frame(2, b"", length=1 << 62))


def status(request):
    with socket.create_connection((HOST, int(PORT)), timeout=10) as tcp:
        tcp.sendall(request.replace("\n", "\r\n").encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            more = tcp.recv(4096)
            if not more:
                break
            answer += more
        return answer


HEAD = "GET /pulsar HTTP/1.1\nHost: a\nConnection: Upgrade\nUpgrade: websocket\n"
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n"
for version in ("8", "12", "14", "x", ""):
    answer = status(f"{HEAD}{KEY}Sec-WebSocket-Version: {version}\n\n").lower()
    assert answer.split()[1] in (b"400", b"426"), (version, answer)
    if version == "8":
        assert b"sec-websocket-version: 13" in answer, answer
ok("other versions")
assert status(f"{HEAD}Sec-WebSocket-Version: 13\n\n").split()[1] == b"400"
ok("no key")
assert status(f"{HEAD}{KEY}Sec-WebSocket-Version: 13\n\n".replace("GET", "POST")).split()[1] == b"405"
ok("another method")
answer = status(
    f"{HEAD}{KEY}Sec-WebSocket-Version: 13\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\n\n"
)
assert answer.split()[1] == b"101" and b"extensions" not in answer.lower(), answer
ok("no extension is taken")
