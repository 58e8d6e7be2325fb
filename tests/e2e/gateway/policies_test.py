"""The balancer's policies, over two workers: zones, keys, slow starts, and how long a dead instance is passed over."""
import collections
import concurrent.futures
import os
import queue
import re
import signal
import socketserver
import threading
import time

import pytest

from tests.support.gateway import Gateway
from tests.support.instances import PATIENT, named, registry, sidecar, start_sidecar, until_served, who  # noqa: F401
from tests.support.programs import until

PROXY = 'proxy_http_version 1.1; proxy_set_header Connection "";'
METRICS = "location = /metrics { cw_auth off; cw_metrics; }"


@pytest.fixture
def start(directory, sidecar, ending):
    """A gateway with two workers whose upstream says WORDS after `cw_application x`."""
    def start(words, parameters="", http=""):
        upstream = f"{http} upstream x {{ cw_application x {parameters}; {words} keepalive 8; }} {PROXY}"
        return ending(Gateway(directory, METRICS + PATIENT, upstream, workers=2).start())
    return start


def shares(gateway, n, path="/x/"):
    return collections.Counter(who(gateway, path) for _ in range(n))


class Asleep:
    """An instance that has a port and does not listen, until it wakes: then it answers that it is back."""

    def __init__(self):
        class Back(socketserver.BaseRequestHandler):
            def handle(self):
                self.request.recv(65536)
                self.request.sendall(b"HTTP/1.1 200 OK\r\nX-Instance: back\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Back, bind_and_activate=False)
        self.server.daemon_threads = True
        self.server.server_bind()
        self.port, self.awake = self.server.socket.getsockname()[1], False

    def wake(self):
        self.server.server_activate()
        self.awake = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        if self.awake:
            self.server.shutdown()
        self.server.server_close()


def test_the_own_zone_is_preferred_and_left_when_it_has_none(start, registry, ending):
    gateway = start("cw_zone eu-1a;")
    registry.add("a", named("a", ending).port, metadata={"zone": "eu-1a", "weight": "1"})
    registry.add("b", named("b", ending).port, metadata={"zone": "eu-1b"})
    registry.add("c", named("c", ending).port)
    until_served(gateway, "a")
    assert shares(gateway, 20) == {"a": 20}
    spilled = gateway.metrics()["cw_gateway_picks_spilled_total"]
    registry.override("a", "OUT_OF_SERVICE")
    until_served(gateway, "b", "c")
    assert gateway.metrics()["cw_gateway_picks_spilled_total"] > spilled
    registry.override("a", "UP")
    until_served(gateway, "a")


def test_a_dead_zone_is_left_at_once(start, registry, ending):
    gateway = start("", parameters="fail_timeout=60s", http="cw_zone eu-1a;")  # for all upstreams
    registry.add("b", named("b", ending).port, metadata={"zone": "eu-1b"})
    until_served(gateway, "b")
    registry.add("dead", ending(Asleep()).port, metadata={"zone": "eu-1a"})
    until("it is noticed", lambda: who(gateway) == "b" and "is passed over" in gateway.process.log())
    assert shares(gateway, 20) == {"b": 20}


def test_without_a_zone_all_zones_share(start, registry, ending):
    gateway = start('cw_zone "";', http="cw_zone eu-1a;")  # the upstream's own word is the stronger one
    registry.add("a", named("a", ending).port, metadata={"zone": "eu-1a"})
    registry.add("b", named("b", ending).port, metadata={"zone": "eu-1b"})
    until_served(gateway, "a", "b")
    assert shares(gateway, 20) == {"a": 10, "b": 10}
    assert gateway.metrics()["cw_gateway_picks_spilled_total"] == 0


def test_a_zone_may_be_a_variable(start, registry, ending):
    gateway = start("cw_zone $arg_zone;")
    registry.add("a", named("a", ending).port, metadata={"zone": "eu-1a"})
    registry.add("b", named("b", ending).port, metadata={"zone": "eu-1b"})
    until_served(gateway, "a", "b")
    for zone, name in (("eu-1a", "a"), ("eu-1b", "b")):
        assert shares(gateway, 10, f"/x/?zone={zone}") == {name: 10}


def test_a_key_stays_with_its_instance(start, registry, ending):
    gateway = start("cw_balance hash $arg_key;")
    names, keys = [f"i{n}" for n in range(6)], [f"/x/?key=user-{n}" for n in range(200)]
    for name in names:
        registry.add(name, named(name, ending).port)
    until("all are there", lambda: set(names) <= set(shares(gateway, 30)))  # without a key in turn
    homes = {key: who(gateway, key) for key in keys}
    assert set(homes.values()) == set(names)
    assert {key: who(gateway, key) for key in keys} == homes
    gateway.reload()
    assert {key: who(gateway, key) for key in keys} == homes
    registry.add("new", named("new", ending).port)
    until("it is there", lambda: "new" in shares(gateway, 30))
    moved = {key: name for key in keys if (name := who(gateway, key)) != homes[key]}
    assert set(moved.values()) == {"new"}
    assert 5 < len(moved) < 60, len(moved)  # a seventh of 200 is 29, five standard deviations are 25
    registry.remove("new")
    until("it has left", lambda: "new" not in shares(gateway, 30))
    assert {key: who(gateway, key) for key in keys} == homes
    assert gateway.metrics()['cw_gateway_picks_total{policy="hash"}'] >= 1000


@pytest.mark.parametrize("key, header", [("$cookie_basket", "Cookie"), ("$http_x_room", "X-Room")])
def test_a_key_may_be_a_cookie_or_a_header(start, registry, ending, key, header):
    gateway = start(f"cw_balance hash {key};")
    for name in "abcd":
        registry.add(name, named(name, ending).port)
    until_served(gateway, *"abcd")  # without a key in turn
    homes = set()
    for n in range(30):
        met = {gateway.get("/x/", headers={header: f"basket=user-{n}"}).headers["x-instance"] for _ in range(4)}
        assert len(met) == 1
        homes |= met
    assert homes == set("abcd")


def test_keys_of_a_dead_instance_go_to_all_others_and_come_back(start, registry, ending):
    gateway = start("cw_balance hash $arg_key;", parameters="fail_timeout=1s max_fail_timeout=1s")
    services = {name: named(name, ending) for name in ("a", "b", "c")}
    dead = ending(Asleep())
    registry.add("dead", dead.port)
    for name, service in services.items():
        registry.add(name, service.port)
    until_served(gateway, "a", "b", "c")
    keys = [f"/x/?key=user-{n}" for n in range(100)]
    homes = {key: who(gateway, key) for key in keys}
    assert set(homes.values()) == set(services)
    dead.wake()
    until("it is back", lambda: "back" in {who(gateway, key) for key in keys})
    after = {key: who(gateway, key) for key in keys}
    assert {homes[key] for key in keys if after[key] == "back"} == set(services)  # it had lent them to all
    assert all(after[key] in (homes[key], "back") for key in keys)


class Busy:
    """Services that hold each request whose query says so, and requests that they hold."""

    def __init__(self, ending):
        self.ending, self.begun, self.go_on, self.pool = ending, queue.Queue(), threading.Event(), concurrent.futures.ThreadPoolExecutor(32)
        ending(self)

    def service(self, name):
        def reply(seen):
            if "hold" in seen["path"]:
                self.begun.put(name)
                self.go_on.wait(60)
            return 200, {"X-Instance": name}, b""
        return named(name, self.ending, reply)

    def hold(self, gateway):
        """Sends a request: (who holds it, its answer, when it comes)."""
        answer = self.pool.submit(gateway.get, "/var/?hold", timeout=90)
        return self.begun.get(timeout=30), answer

    def stop(self):
        self.go_on.set()
        self.pool.shutdown()


@pytest.fixture
def busy(ending):
    return Busy(ending)


def test_the_least_busy_one_is_asked_by_all_workers(start, registry, busy):
    gateway = start("cw_balance least_conn;")
    registry.add("a", busy.service("a").port)
    until_served(gateway, "a")
    held = [busy.hold(gateway) for _ in range(6)]
    registry.add("b", busy.service("b").port)
    until("it is there", lambda: who(gateway) == "b")
    assert shares(gateway, 20) == {"b": 20}
    gateway.reload()  # the old workers still hold theirs
    assert shares(gateway, 20) == {"b": 20}
    assert gateway.metrics()['cw_gateway_picks_total{policy="least_conn"}'] >= 47
    busy.go_on.set()
    assert {answer.result(60).status for _, answer in held} == {200}
    until("they share again", lambda: shares(gateway, 20) == {"a": 10, "b": 10})


def test_in_turn_the_busy_one_is_asked_as_well(start, registry, busy):
    gateway = start("cw_balance round_robin;")
    registry.add("a", busy.service("a").port)
    until_served(gateway, "a")
    for _ in range(6):
        busy.hold(gateway)
    registry.add("b", busy.service("b").port)
    until_served(gateway, "a", "b")
    assert shares(gateway, 20) == {"a": 10, "b": 10}


def test_who_can_do_more_is_asked_more(start, registry, busy):
    gateway = start("cw_balance least_conn;")
    registry.add("a", busy.service("a").port, metadata={"weight": "3"})
    registry.add("b", busy.service("b").port)
    until_served(gateway, "a", "b")
    assert collections.Counter(busy.hold(gateway)[0] for _ in range(12)) == {"a": 9, "b": 3}


def test_killed_workers_leave_no_counts(start, registry, busy):
    gateway = start("cw_balance least_conn;")
    gateway.expected = (r"exited on signal 9",)
    registry.add("a", busy.service("a").port)
    until_served(gateway, "a")
    held = [busy.hold(gateway)[1] for _ in range(12)]
    registry.add("b", busy.service("b").port)
    until("it is there", lambda: who(gateway) == "b")
    first, second = gateway.workers()
    os.kill(first, signal.SIGKILL)
    until("another came", lambda: len(gateway.workers()) == 2 and first not in gateway.workers())
    time.sleep(1)  # until those of the killed one have noticed
    after = shares(gateway, 20)
    if sum(not answer.done() for answer in held) > 2:  # on the worker that lives
        assert after == {"b": 20}
    os.kill(second, signal.SIGKILL)
    until("another came", lambda: len(gateway.workers()) == 2 and second not in gateway.workers())
    until("nothing is held", lambda: all(answer.done() for answer in held))
    until("they share", lambda: shares(gateway, 20) == {"a": 10, "b": 10})


def test_an_upstream_may_begin_to_count_at_a_reload(start, registry, busy):
    gateway = start("")
    registry.add("a", busy.service("a").port)
    registry.add("b", busy.service("b").port)
    until_served(gateway, "a", "b")
    gateway.config.write_text(gateway.text.replace("cw_application x ;", "cw_application x; cw_balance least_conn;"))
    old = gateway.workers()
    gateway.reload()
    until("the old workers have left", lambda: not set(old) & set(gateway.workers()))
    names = [busy.hold(gateway)[0] for _ in range(6)]
    assert collections.Counter(names) == {"a": 3, "b": 3}
    registry.override("a", "OUT_OF_SERVICE")
    until_served(gateway, "b")
    registry.override("a", "UP")
    until_served(gateway, "a", "b")  # what it held it still holds
    assert collections.Counter(busy.hold(gateway)[0] for _ in range(6)) == {"a": 3, "b": 3}


def test_who_joins_others_starts_slowly(start, registry, ending):
    gateway = start("", parameters="slow_start=1h")
    registry.add("a", named("a", ending).port)
    registry.add("b", named("b", ending).port)
    until_served(gateway, "a", "b")
    registry.add("c", named("c", ending).port)
    until("it is there", lambda: "c" in shares(gateway, 22))
    assert 1 <= shares(gateway, 63)["c"] <= 12  # a tenth of a share for the first minutes: 3 of 63; a full one is 21
    # a gateway that begins finds them all new, and none of them newer than the others
    gateway.stop()
    gateway = start("", parameters="slow_start=2h", http="cw_discovery_zone 5m;")
    until_served(gateway, "a", "b", "c")
    assert shares(gateway, 30) == {"a": 10, "b": 10, "c": 10}


def test_a_slow_start_ends(start, registry, ending):
    gateway = start("", parameters="slow_start=2s")
    registry.add("a", named("a", ending).port)
    until_served(gateway, "a")
    registry.add("b", named("b", ending).port)
    until("they share", lambda: shares(gateway, 20) == {"a": 10, "b": 10})


def test_a_dead_instance_is_tried_again_after_pauses_that_grow(start, registry, ending):
    gateway = start("", parameters="fail_timeout=1s max_fail_timeout=3s slow_start=1h")
    registry.add("a", named("a", ending).port)
    until_served(gateway, "a")
    dead = ending(Asleep())
    registry.add("dead", dead.port)

    def pauses():
        assert who(gateway) == "a"
        return [int(ms) for ms in re.findall(r"is passed over for (\d+) ms", gateway.process.log())]
    until("it was tried again and again", lambda: len(pauses()) >= 4, 60)
    assert pauses()[:4] == [1000, 2000, 3000, 3000]
    assert gateway.metrics()["cw_gateway_instances_marked_total"] >= 4
    dead.wake()
    until("it serves again", lambda: who(gateway) == "back")
    assert "answers again" in gateway.process.log()
    assert 1 <= shares(gateway, 44)["back"] <= 10  # slowly: 4 of 44; a full share is 22


def test_who_leaves_finishes_what_it_has(start, registry, ending):
    gateway = start("")
    begun, go_on = threading.Semaphore(0), threading.Event()

    def slow(seen):
        if "wait" in seen["path"]:
            begun.release()
            go_on.wait(30)
        return 200, {"X-Instance": "leaves"}, b""
    location = "/var/?wait"  # nginx's own read timeout
    registry.add("leaves", named("leaves", ending, slow).port)
    until_served(gateway, "leaves")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first = pool.submit(gateway.get, location, timeout=60)
        assert begun.acquire(timeout=30)
        registry.add("stays", named("stays", ending).port)
        registry.override("leaves", "OUT_OF_SERVICE")
        until_served(gateway, "stays")
        assert not first.done()
        registry.override("leaves", "UP")
        until_served(gateway, "leaves", "stays")
        registry.override("stays", "OUT_OF_SERVICE")
        until_served(gateway, "leaves")
        second = pool.submit(gateway.get, location, timeout=60)
        assert begun.acquire(timeout=30)
        registry.override("stays", "UP")
        registry.remove("leaves")
        until_served(gateway, "stays")
        assert not first.done() and not second.done()
        go_on.set()
        for answer in (first.result(60), second.result(60)):
            assert (answer.status, answer.headers["x-instance"]) == (200, "leaves")


@pytest.mark.parametrize("upstream, words", [
    ("upstream x { cw_application x max_fail_timeout=5s; }", "shorter than its"),
    ("upstream x { cw_application x slow_start=long; }", 'invalid "slow_start=long"'),
    ("upstream x { cw_application x fail_timeout=2d; }", 'invalid "fail_timeout=2d"'),
    ("upstream x { cw_balance round_robin; cw_application x; }", "must stand after"),
    ("upstream x { server 127.0.0.1:1; cw_balance round_robin; }", "must stand after"),
    ("upstream x { cw_application x; cw_balance random; }", "must be"),
    ("upstream x { cw_application x; cw_balance hash; }", "needs a key"),
    ("upstream x { cw_application x; cw_balance hash me; }", "without a variable"),
    ("upstream x { cw_application x; cw_balance hash $nothing_such; }", "unknown"),
    ("upstream x { cw_application x; cw_balance round_robin; cw_balance round_robin; }", "is duplicate"),
    ("upstream x { cw_application x slow_start=30s; cw_balance hash $arg_key; }", "does not go with"),
    ("upstream x { server 127.0.0.1:1; cw_zone a; }", "must stand after"),
])
def test_a_wrong_configuration_is_named(directory, upstream, words):
    accepted, text = Gateway(directory, PATIENT, upstream).check()
    assert not accepted and words in text
