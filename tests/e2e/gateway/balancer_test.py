"""The balancer: a real nginx before real services, found through a real sidecar."""
import collections
import concurrent.futures
import http.client
import os
import queue
import signal
import socket
import socketserver
import threading
import time

import grpc
import pytest

from tests.support import rpc
from tests.support.gateway import Gateway
from tests.support.instances import LOCATION, Registry, named, registry, sidecar, start_sidecar, until_served, who  # noqa: F401
from tests.support.programs import until

UPSTREAM = """
    upstream x { cw_application x; keepalive 8; }
    proxy_http_version 1.1;
    proxy_set_header Connection "";
"""


@pytest.fixture
def gateway(directory, sidecar, ending):
    return ending(Gateway(directory, LOCATION, UPSTREAM, workers=2).start())


def test_without_an_instance_it_is_503_before_the_body(gateway):
    answer = gateway.get("/x/")
    assert (answer.status, answer.reason, answer.headers["content-type"]) == (503, "no_instance", "application/problem+json")
    assert answer.headers["retry-after"] == "1"
    raw = gateway.raw(b"PUT /x/a HTTP/1.1\r\nHost: clinicwave.localhost\r\nContent-Length: 1000\r\nConnection: close\r\n\r\n" + b"x" * 1000)
    assert raw.startswith(b"HTTP/1.1 503 ") and b"no_instance" in raw
    # an upstream that is known only when the request runs
    answer = gateway.get("/var/")
    assert (answer.status, answer.reason) == (503, "no_instance")


def test_instances_appear_share_and_vanish(gateway, registry, ending):
    a, b = named("a", ending), named("b", ending)
    registry.add("a", a.port)
    until_served(gateway, "a")
    registry.add("b", b.port)
    until_served(gateway, "a", "b")
    counts = collections.Counter(who(gateway) for _ in range(40))
    assert counts == {"a": 20, "b": 20}
    registry.remove("a")
    until_served(gateway, "b")
    registry.remove("b")
    until("nobody serves", lambda: who(gateway) == "no_instance")


def test_weights_are_shares(gateway, registry, ending):
    a, b = named("a", ending), named("b", ending)
    registry.add("a", a.port, metadata={"weight": "3"})
    registry.add("b", b.port)
    until_served(gateway, "a", "b")
    assert collections.Counter(who(gateway) for _ in range(40)) == {"a": 30, "b": 10}


@pytest.mark.parametrize("order", [("old", "young"), ("young", "old")])
def test_one_place_under_two_names_is_what_the_one_that_is_up_says(gateway, registry, ending, order):
    """A service that was restarted under another id, whose old entry is still there and down."""
    a, b = named("a", ending), named("b", ending)
    registry.add("b", b.port)
    until_served(gateway, "b")
    for id in order:
        registry.add(id, a.port, status="UP" if id == "young" else "DOWN", metadata={"weight": "3" if id == "young" else "1"})
    until_served(gateway, "a", "b")
    assert collections.Counter(who(gateway) for _ in range(40)) == {"a": 30, "b": 10}
    registry.override("young", "OUT_OF_SERVICE")
    until_served(gateway, "b")


def test_only_those_that_are_up_get_requests(gateway, registry, ending):
    a, b = named("a", ending), named("b", ending)
    registry.add("a", a.port)
    registry.add("b", b.port, status="STARTING")
    until_served(gateway, "a")
    registry.add("b", b.port, lastDirtyTimestamp=str(int(time.time() * 1000) + 1000))
    until_served(gateway, "a", "b")
    registry.override("a", "OUT_OF_SERVICE")
    until_served(gateway, "b")
    secure = named("secure", ending)
    registry.add("secure", 1, securePort={"$": secure.port, "@enabled": "true"})
    time.sleep(0.2)
    until_served(gateway, "b")  # plain http does not go to a port that speaks TLS


@pytest.mark.parametrize("policy", ["round_robin", "least_conn", "hash $request_id"])
def test_under_load_no_request_fails_that_another_could_have_served(directory, registry, ending, policy):
    upstream = UPSTREAM.replace("cw_application x;", f"cw_application x; cw_balance {policy};")
    gateway = ending(Gateway(directory, LOCATION, upstream, workers=2).start())
    registry.add("stays", named("stays", ending).port)
    until_served(gateway, "stays")
    over, failures, served = threading.Event(), [], collections.Counter()

    def load():
        while not over.is_set():
            answer = gateway.get("/x/")
            if answer.status != 200:
                failures.append(answer)
            else:
                served[answer.headers["x-instance"]] += 1
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        jobs = [pool.submit(load) for _ in range(6)]
        try:
            for turn in range(6):
                name = f"comes-{turn}"
                service = named(name, ending)
                registry.add(name, service.port)
                until(f"{name} serves", lambda: served[name] > 5)
                if turn % 2:
                    registry.remove(name)
                    time.sleep(0.1)
                    service.stop()
                else:  # it dies without a word, and is found out later
                    service.stop()
                    time.sleep(0.3)
                    registry.remove(name)
            gateway.reload()
            time.sleep(0.3)
            os.kill(gateway.workers()[0], signal.SIGKILL)
            gateway.expected = (r"exited on signal 9",)
            time.sleep(0.3)
        except BaseException:
            over.set()
            raise
        over.set()
        for job in jobs:
            try:
                job.result()
            except (ConnectionError, http.client.HTTPException):
                pass  # the worker that was killed took its clients along
    assert not failures, failures[:3]
    assert served["stays"] > 100


def test_a_dead_instance_is_passed_over(gateway, registry, ending):
    a, dead = named("a", ending), socket.socket()
    dead.bind(("127.0.0.1", 0))  # bound, and nobody listens
    registry.add("a", a.port)
    until_served(gateway, "a")
    registry.add("dead", dead.getsockname()[1])
    until("it is noticed", lambda: who(gateway) == "a" and "is passed over" in gateway.process.log())
    assert {who(gateway) for _ in range(20)} == {"a"}
    registry.remove("a")
    # alone, it is tried all the same: a failure is its own, not an absence
    until("only the dead one is left", lambda: who(gateway) == "upstream_failed")
    assert gateway.get("/x/").status == 502
    dead.close()


def test_what_is_known_outlives_the_sidecar_a_reload_and_a_worker(gateway, sidecar, registry, ending):
    registry.add("a", named("a", ending).port)
    until_served(gateway, "a")
    sidecar.process.kill()
    assert {who(gateway) for _ in range(5)} == {"a"}
    gateway.reload()
    assert {who(gateway) for _ in range(5)} == {"a"}
    gateway.expected = (r"exited on signal 9",)
    until("the old workers have left", lambda: len(gateway.workers()) == 2)
    before = gateway.workers()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    until("new workers", lambda: len(set(gateway.workers()) - set(before)) == 2)
    until_served(gateway, "a")


def test_a_sidecar_that_comes_back_removes_nobody_too_early(directory, start_sidecar, ending):
    sidecar = start_sidecar(provisional="8s")
    registry, gateway = Registry(sidecar), ending(Gateway(directory, LOCATION, UPSTREAM, workers=2).start())
    registry.add("a", named("a", ending).port)
    registry.add("b", named("b", ending).port)
    until_served(gateway, "a", "b")
    sidecar.process.kill()
    (directory / "state/registry.json").unlink()  # it has forgotten everything
    sidecar.start()
    registry = Registry(sidecar)
    registry.add("c", named("c", ending).port)
    until_served(gateway, "a", "b", "c")
    registry.remove("c")  # an end that is meant counts at once: a and b are gone when the time is over
    until("c has left", lambda: {who(gateway) for _ in range(12)} == {"a", "b"})
    registry.add("d", named("d", ending).port)
    until_served(gateway, "d")  # and the forgotten ones go when the time is over


def test_slow_silent_and_dying_services(gateway, registry, ending):
    def slow(seen):
        time.sleep(3)
        return 200, {}, b""
    registry.add("slow", named("slow", ending, slow).port)
    until("it is there", lambda: gateway.get("/x/", timeout=10).status == 504)
    answer = gateway.get("/x/")
    assert (answer.status, answer.reason) == (504, "upstream_timeout")
    registry.remove("slow")

    class Dying(socketserver.BaseRequestHandler):
        def handle(self):
            request = self.request.recv(65536)
            if b"GET /late" in request:
                self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Dying)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    registry.add("dying", server.server_address[1])
    until("it is there", lambda: who(gateway) == "upstream_failed")
    assert gateway.get("/x/").status == 502
    with pytest.raises(http.client.IncompleteRead):
        gateway.get("/x/late")
    server.shutdown()
    server.server_close()


def test_a_write_that_may_have_happened_is_not_repeated(gateway, registry, ending):
    class Dying(socketserver.BaseRequestHandler):
        def handle(self):
            if self.request.recv(65536):
                seen.append(1)
    seen, a = [], named("a", ending)
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Dying)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    registry.add("a", a.port)
    registry.add("dying", server.server_address[1])
    until_served(gateway, "a")  # reads go to the other one
    before = len(seen)
    until("it may be tried again", lambda: gateway.get("/x/", method="POST", body=b"x").status == 502)
    assert len(seen) == before + 1
    server.shutdown()
    server.server_close()


def test_a_unix_socket_is_an_instance(gateway, sidecar, directory, ending):
    path = directory / "x.sock"

    class Hello(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(65536)
            self.request.sendall(b"HTTP/1.1 200 OK\r\nX-Instance: socket\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    server = socketserver.ThreadingUnixStreamServer(str(path), Hello)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    outgoing = queue.Queue()
    outgoing.put(rpc.message("clinicwave.discovery.v1.RegisterRequest")(instance={"application": "x", "socket_path": str(path), "status": 1}))
    call = rpc.Stub(rpc.channel(sidecar.socket), "clinicwave.discovery.v1.DiscoveryService").Register(iter(outgoing.get, None))
    next(call)
    until_served(gateway, "socket")
    outgoing.put(None)
    until("it has left", lambda: who(gateway) == "no_instance")
    server.shutdown()
    server.server_close()


def grpc_service(name, ending):
    """A gRPC service of somebody else that answers with its name."""
    handler = grpc.method_handlers_generic_handler("test.Name", {"Say": grpc.unary_unary_rpc_method_handler(lambda request, context: name.encode())})
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    server.port, stop = port, server.stop
    server.stop = lambda: stop(0).wait()
    return ending(server)


def test_grpc_goes_to_instances_of_an_application(directory, authority, sidecar, registry, ending):
    location = "location /test.Name/ { cw_auth off; grpc_pass grpc://x; } location / { cw_auth off; cw_route_unknown; }"
    gateway = ending(Gateway(directory, location, "upstream x { cw_application x; keepalive 8; }", workers=2,
                             certificate=authority.issue("clinicwave.localhost")).start())
    credentials = grpc.ssl_channel_credentials(authority.ca.read_bytes())
    with grpc.secure_channel(f"127.0.0.1:{gateway.tls_port}", credentials, [("grpc.ssl_target_name_override", "clinicwave.localhost")]) as channel:
        call = channel.unary_unary("/test.Name/Say")

        def said():
            try:
                return call(b"", timeout=20).decode()
            except grpc.RpcError as e:
                return e.code().name
        assert said() == "UNAVAILABLE"  # nobody is registered
        services = {name: grpc_service(name, ending) for name in ("a", "b")}
        for name, service in services.items():
            registry.add(name, service.port)
        until("both answer", lambda: {said() for _ in range(8)} == {"a", "b"})
        services["a"].stop()  # without a word: the other one serves what it would have got
        assert {said() for _ in range(12)} <= {"b", "UNAVAILABLE"}
        until("the dead one is passed over", lambda: {said() for _ in range(12)} == {"b"})
        registry.remove("a")
        registry.remove("b")
        until("nobody is left", lambda: said() == "UNAVAILABLE")


def test_instances_with_a_lot_to_say_do_not_break_the_link(gateway, registry, ending):
    """What anybody may register at length must not outgrow a worker's message: the link also carries every verdict."""
    registry.add("a", named("a", ending).port)
    until_served(gateway, "a")
    large, accepted = {f"k{i}": "x" * 2000 for i in range(14)}, 0
    for i in range(400):
        answer = registry.http.post("/X", json={"instance": {
            "instanceId": f"large-{i}", "hostName": "h", "app": "X", "ipAddr": "127.0.0.1", "status": "DOWN", "port": {"$": i + 1, "@enabled": "true"},
            "metadata": large, "dataCenterInfo": {"@class": "com.netflix.appinfo.MyDataCenterInfo", "name": "MyOwn"}}})
        accepted += answer.status_code == 204
        assert answer.status_code in (204, 503)
    assert 100 < accepted < 400  # 8 MiB of them
    registry.remove("large-0")
    registry.add("b", named("b", ending).port)
    until_served(gateway, "a", "b")
    assert len(until("one connection a worker", lambda: gateway.workers())) == 2
    assert "Discovery.Watch" not in gateway.process.log() and "upstream prematurely" not in gateway.process.log()


def test_what_no_rule_names_is_no_route(gateway, registry, ending):
    registry.add("y", named("y", ending).port, app="Y")
    registry.add("a", named("a", ending).port)
    until_served(gateway, "a")
    for path in ("/y/", "/api/y/", "/Y", "/api/x/"):
        answer = gateway.get(path)
        assert (answer.status, answer.reason) == (404, "route_unknown")


@pytest.mark.parametrize("upstream, words", [
    ("upstream x { server 127.0.0.1:1; cw_application x; }", "servers of its own"),
    ("upstream x { cw_application x; server 127.0.0.1:1; }", "servers of its own"),
    ("upstream x { keepalive 4; cw_application x; }", "must come before"),
    ("upstream x { cw_application x; cw_application x; }", "is duplicate"),
    ("upstream x { cw_application a/b; }", "other characters"),
    ("upstream x { cw_application x max_fails=z; }", "max_fails"),
    ("upstream x { cw_application x fast; }", "unknown parameter"),
    ("cw_discovery_zone 1k; upstream x { cw_application x; }", "too small"),
])
def test_a_wrong_configuration_is_named(directory, upstream, words):
    accepted, text = Gateway(directory, LOCATION, upstream).check()
    assert not accepted and words in text


def test_nginx_own_words_go_with_it(directory, sidecar, registry, ending):
    gateway = ending(Gateway(directory, LOCATION, "upstream x { zone x 64k; cw_application X max_fails=2 fail_timeout=1s; }").start())
    registry.add("a", named("a", ending).port)
    until_served(gateway, "a")
    gateway.reload()
    until_served(gateway, "a")
