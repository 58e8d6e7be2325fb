"""DiscoveryService of a running sidecar: services register by a stream, gateways watch, operators look up."""
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

import grpc
import pytest

from tests.support import rpc
from tests.support.discovery import DOWN, OUT_OF_SERVICE, SERVICE, UP, Registration, Watch, lookup
from tests.support.programs import program, until
from tests.support.stack import Sidecar

TENANT = {"name": "clinicwave", "domains": ["clinicwave.localhost"], "audiences": ["a"],
          "issuers": [{"issuer": "https://idp.invalid/", "jwks-file": "/nonexistent"}]}


# As many health checks as are possible.
CHECKED = [{"application": "X", "address": "127.0.0.1", "port": 1000 + i, "check": "http://127.0.0.1:1/"} for i in range(256)]


def registry(**changes):
    return {"register": [{"uid": str(os.getuid()), "applications": ["STORAGE-SERVICE", "x"]}], "grace-period": "1s", "provisional": "0s",
            "management-ports": "9082", **changes}


@pytest.fixture(autouse=True)
def nobody_is_kept():
    yield
    Registration.kept.clear()


@pytest.fixture
def start(directory, ending):
    """`start(**registry settings)` starts a sidecar with them."""
    keys = directory / "jwks.json"
    keys.write_text('{"keys":[]}')
    tenant = dict(TENANT, issuers=[dict(TENANT["issuers"][0], **{"jwks-file": str(keys)})])
    return lambda **changes: ending(Sidecar(directory, [tenant], registry=registry(**changes)).start())


def test_a_watcher_is_told_of_each_change(start):
    sidecar = start()
    watch = Watch(sidecar, "X", "storage-service")
    watch.until({"X": {}, "STORAGE-SERVICE": {}})
    first = Registration(sidecar, instance_id="a", metadata={"weight": "3", "zone": "eu-1a", "team": "blue"})
    assert first.answer.instance_id == "a" and first.answer.grace_seconds == 1
    watch.until({"X": {"a": UP}, "STORAGE-SERVICE": {}})
    instance = watch.latest.applications[0].instances[0]
    assert (instance.address, instance.port, instance.source, dict(instance.metadata)) == ("127.0.0.1", 9000, "local", {"weight": "3", "zone": "eu-1a"})
    first.say(status=OUT_OF_SERVICE)
    watch.until({"X": {"a": OUT_OF_SERVICE}, "STORAGE-SERVICE": {}})
    first.close()
    watch.until({"X": {}, "STORAGE-SERVICE": {}})
    generations = [s.generation for s in watch.snapshots]
    assert generations == sorted(set(generations))


def test_a_change_elsewhere_is_no_news(start):
    sidecar = start()
    watch = Watch(sidecar, "STORAGE-SERVICE")
    watch.until({"STORAGE-SERVICE": {}})
    Registration(sidecar, instance_id="a").close()
    Registration(sidecar, application="storage-service", instance_id="s")
    watch.until({"STORAGE-SERVICE": {"s": UP}})
    assert len(watch.snapshots) == 2


def test_an_id_is_made_where_none_is_given(start):
    registration = Registration(start())
    assert registration.answer.instance_id == f"{os.uname().nodename}:x:9000"


def test_eureka_clients_find_it_by_its_lower_case_name(start):
    sidecar = start()
    Registration(sidecar, application="STORAGE-Service", instance_id="s")
    url = f"http://127.0.0.1:{sidecar.registry_port}/eureka/apps/STORAGE-SERVICE/s"
    instance = json.load(urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": "application/json"}), timeout=5))["instance"]
    assert (instance["app"], instance["vipAddress"], instance["secureVipAddress"]) == ("STORAGE-SERVICE", "storage-service", "storage-service")
    assert instance["port"] == {"$": 9000, "@enabled": "true"} and instance["status"] == "UP"
    assert (instance["hostName"], instance["ipAddr"]) == ("127.0.0.1", "127.0.0.1")  # clients prefer the name: it has to lead there


def test_eureka_clients_are_told_where_its_pages_are(start):
    sidecar = start()

    def told(id, **instance):
        Registration(sidecar, instance_id=id, **instance)
        url = f"http://127.0.0.1:{sidecar.registry_port}/eureka/apps/X/{id}"
        return json.load(urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": "application/json"}), timeout=5))["instance"]
    plain = told("a")
    assert (plain["homePageUrl"], plain["statusPageUrl"]) == ("http://127.0.0.1:9000/", "http://127.0.0.1:9000/actuator/info")
    assert plain["healthCheckUrl"] == "http://127.0.0.1:9000/actuator/health" and "secureHealthCheckUrl" not in plain
    managed = told("b", port=9010, health_path="/health", metadata={"management.port": "9011"})
    assert (managed["homePageUrl"], managed["statusPageUrl"]) == ("http://127.0.0.1:9010/", "http://127.0.0.1:9011/actuator/info")
    assert managed["healthCheckUrl"] == "http://127.0.0.1:9010/health"
    secure = told("c", port=9443, secure=True, address="::1")
    assert secure["homePageUrl"] == "https://localhost:9443/"
    assert secure["secureHealthCheckUrl"] == secure["healthCheckUrl"] == "https://localhost:9443/actuator/health"


def test_who_is_not_granted_does_not_register(start):
    sidecar = start()
    with pytest.raises(grpc.RpcError) as refused:
        Registration(sidecar, application="portal")
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert not lookup(sidecar).applications


def test_a_malformed_instance_is_refused(start):
    sidecar = start()
    for wrong in ({"application": "a/b"}, {"application": ""}, {"address": "localhost"}, {"port": 70000}, {"port": 0},
                  {"socket_path": "/run/x.sock"}, {"port": 0, "socket_path": "x.sock"}, {"metadata": {"k": "v" * 5000}}):
        with pytest.raises(grpc.RpcError) as refused:
            Registration(sidecar, **wrong)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT, wrong
    assert not lookup(sidecar).applications


def test_a_cancel_ends_the_lease_and_a_lost_connection_does_not(start):
    sidecar = start(**{"grace-period": "4s"})
    watch = Watch(sidecar, "X")
    registration = Registration(sidecar, instance_id="a")
    watch.until({"X": {"a": UP}})
    registration.call.cancel()
    watch.until({"X": {}})

    killed = subprocess.Popen([sys.executable, "-c", f"""
import sys, time
sys.path.insert(0, {os.getcwd()!r})
from tests.support import rpc
def say():
    yield rpc.message("clinicwave.discovery.v1.RegisterRequest")(instance=dict(application="x", address="127.0.0.1", port=9001, status=1, instance_id="b"))
    time.sleep(60)
call = rpc.Stub(rpc.channel({str(sidecar.socket)!r}), {SERVICE!r}).Register(say())
print(next(call).instance_id, flush=True)
time.sleep(60)
"""], stdout=subprocess.PIPE)
    assert killed.stdout.readline() == b"b\n"
    watch.until({"X": {"b": UP}})
    killed.kill()
    killed.wait()
    lost = time.monotonic()
    time.sleep(1)
    assert watch.state() == {"X": {"b": UP}}, sidecar.process.log()
    watch.until({"X": {}})
    assert 3.5 < time.monotonic() - lost < 20


def test_registered_is_not_reachable(start):
    sidecar = start()
    watch = Watch(sidecar, "X")
    watch.until({"X": {}})
    for id, instance in {"elsewhere": {"address": "192.0.2.7"}, "metadata": {"address": "169.254.169.254"}, "management": {"port": 9082},
                         "registry": {"port": sidecar.registry_port}, "socket": {"port": 0, "socket_path": str(sidecar.admin_socket)}}.items():
        Registration(sidecar, instance_id=id, **instance)
    good = Registration(sidecar, instance_id="good")
    watch.until({"X": {"good": UP}})
    assert {i.instance_id: i.unreachable for i in lookup(sidecar, "x").applications[0].instances} == {
        "elsewhere": "not_allowed", "metadata": "link_local", "management": "reserved_port", "registry": "reserved_port",
        "socket": "not_allowed", "good": ""}
    assert [v for k, v in sidecar.metrics().items() if k.startswith("cw_sidecar_registry_unreachable")] == [5]
    good.close()


def test_what_is_configured_is_there_and_follows_a_reload(start):
    sidecar = start(static=[{"application": "fixed", "address": "192.0.2.9", "port": 80, "weight": 5, "zone": "eu-1a"}])
    watch = Watch(sidecar, "FIXED")
    watch.until({"FIXED": {"192.0.2.9:fixed:80": UP}})
    assert dict(watch.latest.applications[0].instances[0].metadata) == {"weight": "5", "zone": "eu-1a"}
    text = sidecar.config.read_text()
    sidecar.config.write_text(text.replace("port: 80\n", "port: 81\n"))
    sidecar.process.signal(signal.SIGHUP)
    watch.until({"FIXED": {"192.0.2.9:fixed:81": UP}})
    sidecar.config.write_text(text.replace("192.0.2.9", "nowhere"))
    sidecar.process.signal(signal.SIGHUP)
    until("the reload is refused", lambda: "config_invalid" in sidecar.process.log())
    assert watch.state() == {"FIXED": {"192.0.2.9:fixed:81": UP}}


def test_a_restart_forgets_nobody(start, directory):
    sidecar = start(provisional="3s")
    Registration(sidecar, instance_id="a")
    Registration(sidecar, instance_id="b", port=9001)
    until("the state is saved", lambda: "\"b\"" in (directory / "state/registry.json").read_text())
    sidecar.process.kill()
    sidecar.start()
    watch = Watch(sidecar, "X")
    watch.until({"X": {"a": UP, "b": UP}})
    assert watch.latest.provisional and {i.source for i in watch.latest.applications[0].instances} == {"restored"}
    back = Registration(sidecar, instance_id="a")
    # a clean end is not a mere absence: while the gateway must not remove, it is told that the instance is down
    back.close()
    watch.until({"X": {"a": DOWN, "b": UP}})
    Registration(sidecar, instance_id="a")
    watch.until({"X": {"a": UP}})
    assert not watch.latest.provisional


def test_a_graceful_stop_keeps_the_neighbours(start, directory):
    sidecar = start(provisional="3s")
    held = Registration(sidecar, instance_id="a")
    assert sidecar.stop() == 0
    assert "\"a\"" in (directory / "state/registry.json").read_text()
    with pytest.raises(grpc.RpcError):
        next(held.call)


def test_methods_keep_to_their_sockets(start):
    sidecar = start()
    for call in (lambda: next(rpc.Stub(rpc.channel(sidecar.socket), SERVICE).Watch(applications=["X"])),
                 lambda: next(rpc.Stub(rpc.channel(sidecar.gateway_socket), SERVICE).Register(iter([])))):
        with pytest.raises(grpc.RpcError) as refused:
            call()
        assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
    for socket in (sidecar.socket, sidecar.gateway_socket, sidecar.admin_socket):
        assert lookup(sidecar, "x", socket).applications[0].name == "X"


def test_watchers_and_their_applications_have_bounds(start):
    sidecar = start(**{"max-watchers": 1})
    held = Watch(sidecar, "X")
    held.until({"X": {}})
    for applications, code in (([], grpc.StatusCode.INVALID_ARGUMENT), (["a/b"], grpc.StatusCode.INVALID_ARGUMENT),
                               (["x"], grpc.StatusCode.RESOURCE_EXHAUSTED)):
        with pytest.raises(grpc.RpcError) as refused:
            next(rpc.Stub(rpc.channel(sidecar.gateway_socket), SERVICE).Watch(applications=applications))
        assert refused.value.code() == code
    held.call.cancel()
    def again():
        try:
            return next(rpc.Stub(rpc.channel(sidecar.gateway_socket), SERVICE).Watch(applications=["x"]))
        except grpc.RpcError:
            return None
    until("the place is free again", again)


def test_a_wrong_registry_is_a_clear_message(directory):
    keys = directory / "jwks.json"
    keys.write_text('{"keys":[]}')
    tenant = dict(TENANT, issuers=[dict(TENANT["issuers"][0], **{"jwks-file": str(keys)})])
    for changes, words in (
            ({"eureka": {"client": {"service-url": {"defaultZone": "ftp://127.0.0.1/eureka/"}}}}, "eureka.client.service-url"),
            ({"registry": {"eureka": {"servers": [{"url": "http://u:p@/eureka/"}]}}}, "registry.eureka.servers[0].url"),
            ({"registry": {"eureka": {"servers": [{"url": "http://192.0.2.1:8761/eureka/"}], "instance": {"address": "127.0.0.1"}}}}, "is no loopback"),
            ({"registry": {"eureka": {"servers": [{"url": "http://192.0.2.1:8761/eureka/"}], "instance": {"address": "0.0.0.0"}}}}, "not where it listens"),
            ({"registry": {"eureka": {"servers": [{"url": "http://127.0.0.1:1/eureka/"}], "lease-duration": "10s"}}}, "registry.eureka.lease-duration"),
            ({"registry": {"embedded": {"address": "0.0.0.0"}}}, "registry.embedded.address"),
            ({"registry": {"allow": ["10.0.0.1/8"]}}, "registry.allow"),
            ({"registry": {"register": [{"uid": "nobody-of-this-name", "applications": ["X"]}]}}, "registry.register[0].uid"),
            ({"registry": {"static": [{"application": "X", "address": "127.0.0.1"}]}}, "registry.static[0]"),
            ({"registry": {"static": [{"application": "X", "address": "host.name", "port": 1}]}}, "registry.static[0]"),
            ({"registry": {"static": [{"application": "X", "socket": "/tmp/x.sock", "register": True}]}}, "registry.static[0].register"),
            ({"registry": {"static": CHECKED + [dict(CHECKED[0])]}}, "registry.static[256].check"),
            ({"registry": {"embedded": {"writers": "everybody"}}}, "registry.embedded.writers")):
        sidecar = Sidecar(directory, [tenant], **changes)
        r = subprocess.run([str(program("sidecar/cw-sidecar")), "--config", str(sidecar.config), "--check-config"], capture_output=True, text=True, timeout=20)
        assert r.returncode == 1 and words in r.stderr + r.stdout, (changes, r)
    for statics in (CHECKED, CHECKED + [{"application": "X", "socket": "/tmp/x.sock"}]):
        sidecar = Sidecar(directory, [tenant], registry={"static": statics})
        r = subprocess.run([str(program("sidecar/cw-sidecar")), "--config", str(sidecar.config), "--check-config"], capture_output=True, text=True, timeout=20)
        assert r.returncode == 0, r
