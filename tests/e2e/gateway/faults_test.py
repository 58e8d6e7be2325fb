"""Whatever happens to the sidecar or to a worker: never "allow", never a hang past the deadline, never a 401 for "could not decide"."""
import asyncio
import concurrent.futures
import contextlib
import http.client
import os
import re
import signal
import socket
import ssl
import struct
import threading
import time

import httpx
import pytest

from tests.support.gateway import Judge
from tests.support.programs import Program, until

ROUTES = """
    location /quick/ { cw_auth required; cw_timeout 400ms; proxy_pass http://@SERVICE@; }
    location /a/ { cw_auth required; cw_timeout 8s; proxy_pass http://@SERVICE@; }
    location /slow/ { cw_auth required; cw_timeout 8s; proxy_pass http://@SERVICE@; }
    location /maybe/ { cw_auth optional; cw_timeout 300ms; cw_undecided anonymous; proxy_pass http://@SERVICE@; }
    location = /metrics { cw_auth off; cw_metrics; }
    location = /healthz { cw_auth off; cw_healthz; }
    location = /status { cw_auth off; stub_status; }
"""


def undecided(gateway, path="/quick/x", within=5, token="good"):
    start = time.monotonic()
    r = gateway.get(path, token)
    assert r.status == 503, r
    assert r.reason in ("validator_unavailable", "deadline_exceeded", "validator_overloaded")
    assert int(r.headers["retry-after"]) >= 1
    assert time.monotonic() - start < within
    return r


def recovers(gateway):
    until("requests are allowed again", lambda: gateway.get("/a/x", "good").status == 200)


def nothing_is_left(gateway):
    """No connection of a client but the one that asks, which nginx closes only when its last request has let go."""
    until("nothing is left in flight", lambda: b"Active connections: 1 " in gateway.get("/status").body)


class Load:
    """Requests all the time from some threads; what came back, by status."""

    def __init__(self, gateway, threads=4, token="good", path="/slow/x"):
        self.gateway, self.token, self.path, self.ending = gateway, token, path, threading.Event()
        self.pool = concurrent.futures.ThreadPoolExecutor(threads)
        self.futures = [self.pool.submit(self.run) for _ in range(threads)]

    def run(self):
        seen, connection = [], None
        while not self.ending.is_set():
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=10)
                connection.request("GET", self.path, headers={"Host": "clinicwave.localhost", "Authorization": f"Bearer {self.token}"})
                r = connection.getresponse()
                r.read()
                seen.append(r.status)
                if r.getheader("Connection") == "close":
                    connection.close()
                    connection = None
            except (http.client.HTTPException, ConnectionError):
                seen.append(0)   # a connection of a worker that died
                connection = None
        return seen

    def stop(self):
        self.ending.set()
        seen = [s for f in self.futures for s in f.result(30)]
        self.pool.shutdown()
        return {s: seen.count(s) for s in set(seen)}


def test_no_sidecar(nginx, service):
    g = nginx(ROUTES)
    assert undecided(g).reason == "validator_unavailable"
    assert g.get("/healthz").status == 503
    assert not service.requests


def test_an_optional_route_may_go_on_without_identity(nginx, service):
    g = nginx(ROUTES)
    r = g.get("/maybe/x", "good", headers={"X-Auth-Subject": "root"})
    assert r.status == 200 and r.reached("X-Auth-Subject") == [] and r.reached("Authorization") == []


def test_a_sidecar_that_comes_later_is_waited_for(nginx, judge, service):
    judge.stop()
    g = nginx(ROUTES)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(g.get, "/slow/x", "good")
        time.sleep(0.3)
        judge.start()
        assert answer.result(10).status == 200


def test_a_sidecar_that_restarts_costs_no_request(nginx, judge):
    g = nginx(ROUTES)
    load = Load(g)
    for _ in range(3):
        time.sleep(0.3)
        judge.stop()
        time.sleep(0.1)
        judge.start()
    time.sleep(0.5)
    seen = load.stop()
    assert set(seen) == {200} and seen[200] > 50, seen


def test_a_socket_that_is_replaced(nginx, judge, directory, ending):
    g = nginx(ROUTES)
    assert g.get("/a/x", "good").status == 200
    other = Judge(directory / "other.sock")
    other.refuse("good", "token_revoked")
    ending(other.start())
    judge.stop()
    os.rename(directory / "other.sock", judge.path)
    until("the new socket's verdict", lambda: g.get("/a/x", "good").status == 401)
    assert [e.WhichOneof("subject") for e in other.seen][0] == "token"


def test_a_sidecar_that_is_slow_meets_the_deadline(nginx, judge, service):
    g = nginx(ROUTES)
    judge.delay = 4
    assert undecided(g, within=3).reason == "deadline_exceeded"
    assert not service.requests
    judge.delay = 0
    recovers(g)


def questions(gateway):
    return sum(n for name, n in gateway.metrics().items() if name.startswith("cw_gateway_questions_total"))


def test_a_short_deadline_behind_a_long_one_is_met(nginx, judge, service):
    g = nginx(ROUTES)
    judge.mute, asked = True, questions(g)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        long = pool.submit(g.get, "/a/x", "good", timeout=30)
        until("the long one is asked", lambda: questions(g) > asked)
        assert undecided(g, within=5).reason == "deadline_exceeded"
        judge.mute = False
        assert long.result().status in (200, 503)
    recovers(g)


def test_an_old_worker_waits_for_no_deadline_but_of_an_open_question(nginx, judge):
    g = nginx("location = /metrics { cw_auth off; cw_metrics; } location / { cw_auth required; cw_timeout 60s; proxy_pass http://@SERVICE@; }")
    assert g.get("/x", "good").status == 200
    [old] = g.workers()
    g.reload()
    until("the old worker has left", lambda: old not in g.workers(), 30)
    assert g.get("/x", "good").status == 200

    [old], judge.delay, asked = g.workers(), 2, questions(g)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        open_question = pool.submit(g.get, "/x", "good", timeout=30)
        until("it is asked", lambda: questions(g) > asked)
        g.reload()
        assert open_question.result().status == 200
    until("the old worker has left", lambda: old not in g.workers(), 30)


def test_a_sidecar_that_does_not_answer_is_left(nginx, judge, service):
    g = nginx(ROUTES)
    judge.mute = True
    undecided(g)
    assert g.get("/healthz").status == 503
    judge.mute = False
    recovers(g)
    until("healthz recovers", lambda: g.get("/healthz").status == 200)


def test_late_answers_reach_nobody(nginx, judge, service):
    judge.refuse("late", "token_expired")
    g = nginx(ROUTES)
    judge.delay = 0.6
    assert undecided(g, token="late").status == 503
    judge.delay = 0
    for _ in range(20):
        assert g.get("/a/x", "good").status == 200


class Peer:
    """A server on the sidecar's socket that says what the test wants: `script(connection)` runs for each connection."""

    def __init__(self, path, script):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self.connections, self.script = 0, script
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen(16)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                c, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.run, args=(c,), daemon=True).start()

    def run(self, c):
        with c, contextlib.suppress(OSError):
            self.script(c)

    def stop(self):
        self.socket.close()


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


SETTINGS = frame(4)
# :status 200, content-type application/grpc (HPACK, literals)
HEADERS = b"\x88\x0f\x10\x10application/grpc"


def answering(*frames):
    """Reads the request, then sends FRAMES, then waits for the end."""
    def script(c):
        c.recv(65536)
        c.sendall(SETTINGS)
        time.sleep(0.05)
        c.sendall(b"".join(frames))
        while c.recv(65536):
            pass
    return script


def message(payload, flag=0):
    return bytes([flag]) + struct.pack(">I", len(payload)) + payload


GRPC = frame(1, 4, 1, HEADERS)
PEERS = {
    "closes at once": lambda c: None,
    "speaks HTTP/1": lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    "sends noise": lambda c: c.sendall(os.urandom(4096)),
    "never reads": lambda c: time.sleep(20),
    "an endless frame": answering(b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" + b"x" * 65536),
    "GOAWAY": answering(frame(7, 0, 0, struct.pack(">II", 0, 0))),
    "RST_STREAM": answering(frame(3, 0, 1, struct.pack(">I", 2))),
    "no gRPC": answering(frame(1, 4, 1, b"\x88\x0f\x10\x09text/html")),
    "HTTP 500": answering(frame(1, 5, 1, b"\x8e")),
    "trailers only": answering(frame(1, 5, 1, HEADERS + b"\x00\x0bgrpc-status\x0214")),
    "grpc-status 0 at once": answering(frame(1, 5, 1, HEADERS + b"\x00\x0bgrpc-status\x010")),
    "DATA before HEADERS": answering(frame(0, 0, 1, message(b""))),
    "DATA on another stream": answering(GRPC, frame(0, 0, 3, message(b""))),
    "a push": answering(frame(5, 4, 1, b"\x00\x00\x00\x02" + HEADERS)),
    "a compressed message": answering(GRPC, frame(0, 0, 1, message(b"x", 1))),
    "a message of 4 GiB": answering(GRPC, frame(0, 0, 1, b"\x00\xff\xff\xff\xff")),
    "half a message and the end": answering(GRPC, frame(0, 1, 1, b"\x00\x00\x00\x00\x09xx")),
    "noise in a message": answering(GRPC, frame(0, 0, 1, message(os.urandom(512)))),
    "a result for nobody": answering(GRPC, frame(0, 0, 1, message(b"\x0a\x0e\x08\xff\xff\xff\xff\xff\xff\x03\x12\x04\x08\x01\x1a\x00"))),
    "a result that says nothing": answering(GRPC, frame(0, 0, 1, message(b"\x0a\x00"))),
    "an allow without an identity": answering(GRPC, frame(0, 0, 1, message(b"\x0a\x04\x12\x02\x08\x01"))),
    "an empty message": answering(GRPC, frame(0, 0, 1, message(b""))),
    "endless headers": answering(*[frame(1, 4, 1, b"\x00\x01a\x7f\x00" + b"x" * 127)] * 200),
    "endless settings": answering(*[frame(4, 0, 0, struct.pack(">HI", 4, 65535) * 200)] * 50),
    "a window of zero": answering(frame(4, 0, 0, struct.pack(">HI", 4, 0))),
}


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_that_breaks_the_protocol_costs_the_connection_and_nothing_else(nginx, judge, directory, ending, name, service):
    judge.stop()
    peer = Peer(judge.path, PEERS[name])
    ending(peer)
    begun = time.monotonic()
    g = nginx(ROUTES)
    workers = g.workers()
    undecided(g)
    undecided(g)
    # It comes back after 10 ms, then after twice as long each time, up to 500 ms, all of it give or take a half.
    assert 1 <= peer.connections <= 10 + 5 * (time.monotonic() - begun)
    assert not service.requests
    peer.stop()
    judge.start()
    recovers(g)
    assert g.workers() == workers
    # told once, not at each attempt
    assert len([l for l in g.process.log().splitlines() if "sidecar" in l and re.search(r"\[(warn|error)\]", l)]) <= 2
    assert "answers again" in g.process.log()


@pytest.mark.parametrize("moment", ["before the end of the headers", "while the verdict is awaited", "while the service answers", "in the body",
                                    "while the answer is sent"])
def test_a_client_that_goes_away(nginx, judge, service, moment):
    sent = "is sent" in moment
    service.reply = lambda seen: (time.sleep(0 if sent else 0.2), (200, {}, b"x" * (1000000 if sent else 100000)))[1]
    g = nginx(ROUTES)
    judge.delay = 0.2 if "verdict" in moment else 0
    request = b"GET /slow/x HTTP/1.1\r\nHost: clinicwave.localhost\r\nAuthorization: Bearer good\r\n"
    for i in range(30):
        with socket.socket() as s:
            s.settimeout(10)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.connect(("127.0.0.1", g.port))
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", i % 2, 0))
            if "headers" in moment:
                s.sendall(request)
            elif "body" in moment:
                s.sendall(request.replace(b"GET", b"PUT") + b"Content-Length: 1000\r\n\r\nhalf")
            else:
                s.sendall(request + b"\r\n")
            if sent:
                assert s.recv(1)
            if i % 3:
                time.sleep(0.01)
    judge.delay = 0
    recovers(g)
    nothing_is_left(g)
    assert len(g.workers()) == 1


def test_streams_that_are_reset_while_the_verdict_is_awaited(nginx, judge, authority):
    g = nginx(ROUTES, certificate=authority.issue("clinicwave.localhost"))
    g.expected = (r"SSL_read\(\) failed .*bad record mac",)  # the client gives up in the middle of a record
    judge.delay, good = 0.2, 0

    async def run():
        nonlocal good
        context = ssl.create_default_context(cafile=str(authority.ca))
        async with httpx.AsyncClient(http2=True, verify=context, trust_env=False) as c:
            url, headers = f"https://clinicwave.localhost:{g.tls_port}/slow/x", {"Authorization": "Bearer good"}
            for _ in range(5):
                asked = [asyncio.ensure_future(c.get(url, headers=headers)) for _ in range(20)]
                await asyncio.sleep(0.05)
                for a in asked[::2]:
                    a.cancel()
                answers = await asyncio.gather(*asked, return_exceptions=True)
                answered = [a for a in answers[1::2] if isinstance(a, httpx.Response)]
                assert all(a.status_code == 200 for a in answered)
                good += len(answered)
    asyncio.run(run())
    assert good  # a reset may cost the client its whole connection, but not each time
    judge.delay = 0
    recovers(g)
    nothing_is_left(g)
    assert len(g.workers()) == 1


def test_reload_under_load_costs_no_request(nginx, judge):
    g = nginx(ROUTES, workers=2)
    load = Load(g)
    for _ in range(3):
        time.sleep(0.3)
        g.reload()
    time.sleep(0.5)
    seen = load.stop()
    assert seen.get(200, 0) > 50 and not set(seen) - {0, 200}, seen
    until("old workers leave", lambda: len(g.workers()) == 2)


def test_a_worker_that_is_killed_is_replaced_and_no_counter_falls(nginx, judge):
    g = nginx(ROUTES, workers=4)
    g.expected = (r"exited on signal 9", r"shared memory zone .* was locked by")
    load = Load(g, 8)
    before = {}
    for _ in range(4):
        time.sleep(0.3)
        os.kill(g.workers()[0], signal.SIGKILL)
        until("four workers", lambda: len(g.workers()) == 4)
        now = g.metrics()
        assert all(now.get(k, -1) >= v for k, v in before.items() if not k.startswith("#"))
        before = now
    seen = load.stop()
    assert not set(seen) - {0, 200}, seen
    # a worker that dies takes along only the connections that it held
    assert seen.get(0, 0) <= 4 * 8
    assert before['cw_gateway_verdicts_total{decision="allow"}'] > 50


def test_reload_keeps_the_counters(nginx, judge):
    g = nginx(ROUTES)
    for _ in range(5):
        g.get("/a/x", "good")
    g.reload()
    until("the new worker answers", lambda: len(g.workers()) == 1)
    assert g.metrics()['cw_gateway_verdicts_total{decision="allow"}'] == 5
    assert [len(os.listdir(f"/proc/{w}/task")) for w in g.workers()] == [1]  # nginx's loop, and no thread beside it


def test_a_worker_leaves_although_the_sidecar_is_gone(nginx, judge):
    g = nginx(ROUTES)
    judge.stop()
    assert undecided(g).reason == "validator_unavailable"
    g.process.signal(signal.SIGQUIT)
    assert g.process.process.wait(20) == 0


def test_digests_are_not_remembered_without_bound(nginx, judge):
    g = nginx(ROUTES, http="cw_digests 64;")
    for i in range(300):
        judge.allow(f"token-{i}")
        assert g.get("/a/x", f"token-{i}").status == 200
    seen = len(judge.seen)
    for i in range(300):
        assert g.get("/a/x", f"token-{i}").status == 200
    by_digest = [e for e in judge.seen[seen:] if e.WhichOneof("subject") == "digest"]
    assert len(by_digest) <= 64
