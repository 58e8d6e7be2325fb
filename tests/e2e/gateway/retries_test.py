"""What is asked again of another instance, over two workers: only what is safe, and only within a budget."""
import socket
import socketserver
import threading
import time

import pytest

from tests.support.gateway import Gateway
from tests.support.instances import PATIENT, named, registry, sidecar, start_sidecar, until_served, who  # noqa: F401
from tests.support.programs import until

MORE = """
    location = /metrics { cw_auth off; cw_metrics; }
    location /unbuffered/ { cw_auth off; proxy_request_buffering off; proxy_pass http://x; }
    location /busy/ { cw_auth off; proxy_next_upstream error timeout http_503; proxy_pass http://x; }
    location /patient/ { cw_auth off; proxy_read_timeout 3s; proxy_pass http://x; }
    location /told/ { cw_auth off; proxy_pass http://x; add_header X-Tries $upstream_addr always; }
    location /once/ { cw_auth off; proxy_next_upstream off; proxy_pass http://x; }
"""
PROXY = 'proxy_http_version 1.1; proxy_set_header Connection "";'
# More than nginx reads together with the headers: a body that is there as a whole is kept, and can be sent again.
LARGE = {"method": "PUT", "body": b"x" * 200_000}
SENT, OVER = ('cw_gateway_retries_total{result="%s"}' % result for result in ("sent", "over_budget"))


@pytest.fixture
def start(directory, sidecar, ending):
    """A gateway that goes on asking instances that fail."""
    def start(words, http="", parameters="max_fails=0"):
        upstream = f"{http} upstream x {{ cw_application x {parameters}; {words} keepalive 8; }} {PROXY}"
        return ending(Gateway(directory, MORE + PATIENT, upstream, workers=2).start())
    return start


class Dying:
    """An instance that takes a request and closes; `seen` are the first lines that it got."""

    def __init__(self):
        class Handler(socketserver.BaseRequestHandler):
            def handle(handler):
                if request := handler.request.recv(65536):
                    self.seen.append(request.split(b"\r\n")[0].decode())
        self.seen, self.server = [], socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Half(Dying):
    """An instance that answers and keeps the connection until it is `broken`: then it closes in the middle of a header."""

    def __init__(self):
        super().__init__()
        self.broken = False

        class Handler(socketserver.BaseRequestHandler):
            def handle(handler):
                while handler.request.recv(65536):
                    if self.broken:
                        handler.request.sendall(b"HTTP/1.1 200 OK\r\nX-Inst")
                        return
                    handler.request.sendall(b"HTTP/1.1 200 OK\r\nX-Instance: half\r\nContent-Length: 0\r\n\r\n")
        self.server.RequestHandlerClass = Handler


class Frozen:
    """An instance that is silent: the kernel accepts, and nobody reads."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def stop(self):
        self.socket.close()


@pytest.fixture
def dying(ending):
    return ending(Dying())


@pytest.fixture
def both(registry, ending, dying):
    """Beside one that serves stands one that dies on each request: `both(gateway)` waits until they take turns."""
    def both(gateway):
        registry.add("a", named("a", ending).port)
        until_served(gateway, "a")
        registry.add("dying", dying.port)
        until("it is there", lambda: who(gateway) and dying.seen)
    return both


def asked(gateway, n, path="/x/", **request):
    """Sends N requests: what they came to, how many were sent again, how many could not be for the budget."""
    before = gateway.metrics()
    statuses = [gateway.get(path, **request).status for _ in range(n)]
    after = gateway.metrics()
    return statuses, after[SENT] - before[SENT], after[OVER] - before[OVER]


def test_without_a_bound_each_failure_is_served_by_the_other(start, both):
    gateway = start("cw_retry_budget off;")
    both(gateway)
    assert asked(gateway, 60) == ([200] * 60, 30, 0)


def test_by_default_a_few_failures_are(start, both):
    gateway = start("")
    both(gateway)
    assert asked(gateway, 60) == ([200] * 60, 30, 0)  # ten a second


def test_without_a_budget_none_is(start, both):
    gateway = start("cw_retry_budget 0% min=0;")
    both(gateway)
    statuses, sent, over = asked(gateway, 60)
    assert (statuses.count(200), statuses.count(502), sent, over) == (30, 30, 0, 30)
    answer = until("a failure", lambda: (a := gateway.get("/x/")).status == 502 and a)
    assert answer.reason == "upstream_failed"


def test_a_share_of_the_requests_is(start, both):
    gateway = start("", http="cw_retry_budget 10% min=0;")  # for all upstreams
    both(gateway)
    began = time.monotonic()
    statuses, sent, over = asked(gateway, 100)
    windows = 1 + (time.monotonic() - began) // 10  # in each, a part of one may be a whole one
    assert sent + over == 50 and statuses.count(502) == over
    assert 5 <= sent <= 11 + windows, (sent, windows)


def test_a_few_each_second_are(start, both):
    gateway = start("cw_retry_budget 0% min=1;")
    both(gateway)
    began = time.monotonic()
    statuses, sent, over = asked(gateway, 100)
    windows = 1 + (time.monotonic() - began) // 10
    assert sent + over == 50 and statuses.count(502) == over
    assert 1 <= sent <= 10 + 10 * windows, (sent, windows)


def test_what_is_not_sent_twice_is_no_matter_of_the_budget(start, both, dying):
    gateway = start("cw_retry_budget 0% min=0;")
    both(gateway)
    for path, request in (("/x/", {"method": "POST", "body": b"x"}), ("/once/", {}), ("/unbuffered/", LARGE)):
        statuses, sent, over = asked(gateway, 10, path, **request)
        assert (statuses.count(502), sent, over) == (5, 0, 0)


def test_a_body_that_is_gone_is_not_sent_twice(start, both, dying):
    gateway = start("cw_retry_budget off;")
    both(gateway)
    before = len(dying.seen)
    statuses, sent, _ = asked(gateway, 10, "/unbuffered/", **LARGE)
    assert (statuses.count(200), statuses.count(502), sent) == (5, 5, 0)
    assert len(dying.seen) == before + 5
    assert asked(gateway, 10, "/x/", **LARGE) == ([200] * 10, 5, 0)  # kept in a buffer it is


def test_an_answer_on_a_kept_connection_is_the_instances_own(start, registry, ending):
    """503 on a connection that was used before counts as any other: another instance is asked, and this one passed over."""
    gateway = start("", parameters="fail_timeout=60s")
    busy = {"is": False}
    registry.add("b", named("b", ending, lambda seen: (503 if busy["is"] else 200, {"X-Instance": "b"}, b"")).port)
    until_served(gateway, "b")
    for _ in range(8):
        assert gateway.get("/busy/").status == 200  # connections are kept
    registry.add("a", named("a", ending).port)
    until_served(gateway, "a", "b")
    busy["is"] = True
    assert [gateway.get("/busy/").headers.get("x-instance") for _ in range(12)] == ["a"] * 12
    assert "is passed over" in gateway.process.log()


def test_half_an_answer_on_a_kept_connection_is_within_the_budget(start, registry, ending):
    gateway = start("cw_retry_budget 0% min=0;")
    half = ending(Half())
    registry.add("half", half.port)
    until_served(gateway, "half")
    for _ in range(8):
        assert who(gateway) == "half"  # connections are kept, by both workers
    registry.add("a", named("a", ending).port)
    until_served(gateway, "a", "half")
    half.broken = True
    statuses, sent, over = asked(gateway, 20)
    assert (statuses.count(502), sent, over) == (10, 0, 10)


def test_the_log_names_each_instance_that_was_tried(start, both, dying):
    gateway = start("cw_retry_budget off;")
    both(gateway)
    tries = [gateway.get("/told/").headers["x-tries"].split(", ") for _ in range(10)]
    assert {len(t) for t in tries} == {1, 2}
    for last in [t for t in tries if len(t) == 2]:
        assert last[0] == f"127.0.0.1:{dying.port}" != last[1]


def test_a_frozen_instance_costs_one_wait(start, registry, ending):
    """It accepts and is silent: one request waits for its time to be over and is served by the other; then it is passed over."""
    gateway = start("", parameters="fail_timeout=1h")
    registry.add("a", named("a", ending).port)
    until_served(gateway, "a", path="/patient/")
    registry.add("frozen", ending(Frozen()).port)
    until("it is noticed", lambda: who(gateway, "/patient/") == "a" and "is passed over" in gateway.process.log())
    assert [who(gateway, "/patient/") for _ in range(20)] == ["a"] * 20
    assert gateway.metrics()["cw_gateway_instances_marked_total"] == 1
    assert "upstream timed out" in gateway.process.log()


@pytest.mark.parametrize("words, message", [
    ("cw_retry_budget 20;", "a share"),
    ("cw_retry_budget 101%;", "a share"),
    ("cw_retry_budget -1%;", "a share"),
    ("cw_retry_budget %;", "a share"),
    ("cw_retry_budget off min=1;", "a share"),
    ("cw_retry_budget 20% min=x;", 'invalid "min"'),
    ("cw_retry_budget 20% max=1;", 'invalid "min"'),
    ("cw_retry_budget off; cw_retry_budget off;", "is duplicate"),
])
def test_a_wrong_budget_is_named(directory, words, message):
    accepted, text = Gateway(directory, PATIENT, f"upstream x {{ cw_application x; {words} }}").check()
    assert not accepted and message in text
