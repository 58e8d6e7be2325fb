"""Stock Eureka clients, and ours, at the embedded registry and at the real server: a service that knows nothing of ours is reached through
our gateway, and ours are seen by everybody else's."""
import contextlib
import http.client
import os
import re
import sys
import urllib.error
import urllib.request

import pytest
import yaml

from tests.support.discovery import UP, Registration
from tests.support.eureka import DEPS, JAVA, Agent, Answering, Embedded, Spring
from tests.support.gateway import Gateway
from tests.support.programs import Program, free_port, source, until, write_yaml
from tests.support.stack import get_json

HERE = "tests/interop/eureka"


def node(port, registry):
    return ["node", source(f"{HERE}/greeter.mjs"), DEPS, port, registry]


def python(port, registry):
    return [sys.executable, source(f"{HERE}/greeter.py"), DEPS / "python", port, registry]


def java(jar, port, registry, *options, train="current"):
    return [*JAVA, "-jar", DEPS / f"{jar}-{train}.jar", f"--server.port={port}", "--server.address=127.0.0.1", "--spring.main.banner-mode=off",
            "--eureka.instance.hostname=localhost", "--eureka.instance.ip-address=127.0.0.1",
            "--eureka.instance.lease-renewal-interval-in-seconds=1", "--eureka.instance.lease-expiration-duration-in-seconds=3",
            "--eureka.client.registry-fetch-interval-seconds=1", f"--eureka.client.service-url.defaultZone=http://127.0.0.1:{registry}/eureka/", *options]


def spring(port, registry):
    return java("greeter", port, registry, "--spring.application.name=greeter-java")


def older_spring(port, registry):
    return java("greeter", port, registry, "--spring.application.name=greeter-java", train="older")


CLIENTS = {"node": ("GREETER-JS", node, "hello from Node.js", "/?application="), "python": ("GREETER-PY", python, "hello from Python", "/?application="),
           "spring": ("GREETER-JAVA", spring, "hello from Spring", "/seen?application="),
           "older spring": ("GREETER-JAVA", older_spring, "hello from Spring", "/seen?application=")}


@pytest.fixture(autouse=True)
def nobody_is_kept():
    yield
    Registration.kept.clear()


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The real server, for all tests of this file."""
    server = Spring(tmp_path_factory.mktemp("eureka")).start()
    yield server
    server.stop()


class Host:
    """A host with a gateway: its registry, and the sidecar that the gateway asks."""

    def __init__(self, server, sidecar):
        self.server, self.sidecar, self.real = server, sidecar, isinstance(server, Spring)
        self.name = "localhost" if self.real else "127.0.0.1"  # what readers are told of where we are

    def register(self, application, id, port, **instance):
        """A service of ours on loopback, by a stream: as others find it is the registry's doing."""
        return Registration(self.sidecar, application=application, instance_id=id, port=port, **instance)

    def statuses(self, application):
        return sorted(self.server.statuses(application).values())


@pytest.fixture
def hosts(request, directory, ending):
    """`hosts("embedded")`, `hosts("real")`"""
    def start(registry):
        if registry == "embedded":
            server = ending(Embedded(directory / "server", register=[{"uid": str(os.getuid()), "applications": ["*"]}]).start())
            return Host(server, server.sidecar)
        server = request.getfixturevalue("real")
        return Host(server, ending(Agent(directory / "agent", [server], {"lease-duration": "300s"}).start()))
    return start


@pytest.mark.parametrize("registry, client", [
    ("embedded", "node"), ("embedded", "python"), ("embedded", "spring"), ("embedded", "older spring"), ("real", "node"), ("real", "python"), ("real", "spring"), ("real", "older spring")])
def test_a_stock_service_and_our_gateway_find_each_other(hosts, directory, ending, registry, client):
    host = hosts(registry)
    application, command, greeting, seen = CLIENTS[client]
    host.register("ours", "o", 7777)
    gateway = ending(Gateway(directory, """
        location /g/ { cw_auth off; cw_strip_prefix /g; proxy_pass http://g; }
        location / { cw_auth off; cw_route_unknown; }""", f"upstream g {{ cw_application {application}; keepalive 4; }}",
                             sidecar=host.sidecar.gateway_socket, workers=2).start())
    assert gateway.get("/g/hello").reason == "no_instance"
    service = ending(Program(application.lower(), command(free_port(), host.server.port), directory).start())

    def reached():
        assert service.running, service.log()[-3000:]
        return gateway.get("/g/hello").body.decode() == greeting
    until(f"{application} is reached", reached, 120)
    assert host.statuses(application) == ["UP"]
    # its heartbeats are believed: it outlives its lease of a few seconds, and it reads the registry itself
    until("it has found ours", lambda: f"{host.name}:7777" in gateway.get(f"/g{seen}OURS").body.decode(), 60)

    if not host.real:  # the registry is restarted and has forgotten it: it registers again
        host.server.kill()
        host.server.start()
        until("it is back", lambda: host.statuses(application) == ["UP"], 60)
        until("and reached", reached, 60)

    assert service.stop(30) in (0, 143)  # a JVM that SIGTERM ends says 143
    assert host.statuses(application) == []
    until("it has left", lambda: gateway.get("/g/hello").reason == "no_instance", 60)


@pytest.mark.parametrize("registry, client", [("embedded", "node"), ("embedded", "python"), ("real", "node"), ("real", "python")])
def test_stock_clients_see_where_the_pages_of_ours_are(hosts, directory, ending, registry, client):
    host = hosts(registry)
    host.register("ours", "o", 7777, metadata={"management.port": "7778"})
    port = free_port()
    application, command, _, _ = CLIENTS[client]
    service = ending(Program(application.lower(), command(port, host.server.port), directory).start())
    want = f"http://{host.name}:7777/ http://{host.name}:7778/actuator/info http://{host.name}:7778/actuator/health"

    def seen():
        assert service.running, service.log()[-3000:]
        with contextlib.suppress(OSError, http.client.HTTPException):
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/?pages=OURS", timeout=5).read().decode()
    until("it sees them", lambda: seen() == want, 60)


@pytest.mark.parametrize("registry", ["embedded", "real"])
def test_a_service_that_dies_leaves_with_its_lease(hosts, directory, ending, registry):
    host = hosts(registry)
    service = ending(Program("greeter-py", python(free_port(), host.server.port), directory).start())
    until("it is registered", lambda: host.statuses("GREETER-PY") == ["UP"], 60)
    service.kill()
    until("its lease is over", lambda: host.statuses("GREETER-PY") == [], 60)


@pytest.mark.parametrize("registry, train", [("embedded", "current"), ("real", "current"), ("real", "older")])
def test_our_service_behind_a_spring_cloud_gateway(hosts, directory, ending, registry, train):
    host = hosts(registry)
    service = ending(Answering("hello from us"))
    ours = host.register("ours", "o", service.server_port)
    port = free_port()
    options = ["--spring.application.name=gateway", "--eureka.client.register-with-eureka=false", "--spring.cloud.loadbalancer.cache.ttl=1s"]
    for n, line in enumerate(["id=ours", "uri=lb://ours", "predicates[0]=Path=/**"]):
        options.append(f"--spring.cloud.gateway.server.webflux.routes[0].{line}")
    gateway = ending(Program("spring-gateway", java("gateway", port, host.server.port, *options, train=train), directory).start())

    def answer():
        assert gateway.running, gateway.log()[-3000:]
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/x", timeout=5).read().decode()
        except urllib.error.HTTPError as e:
            return e.code
    until("it answers for us", lambda: answer() == "hello from us", 120)
    ours.say(status=4)  # out of service: no new requests
    until("it is drained", lambda: answer() == 503, 60)
    ours.say(status=UP)
    until("it is back", lambda: answer() == "hello from us", 60)
    ours.close()
    until("it has left", lambda: answer() == 503, 60)


@pytest.mark.parametrize("registry", ["embedded", "real"])
def test_prometheus_finds_us_by_our_metadata(hosts, directory, ending, registry):
    """The job is docs/EUREKA.md's."""
    host = hosts(registry)
    metadata = {"management.port": str(host.sidecar.management), "weight": "1"}
    host.register("ours", "o", 7788, metadata=metadata)
    [job] = yaml.safe_load(re.search(r"```yaml\n(- job_name: .*?)```", source("docs/EUREKA.md").read_text(), re.S)[1])
    job["eureka_sd_configs"] = [{"server": host.server.url[:-1], "refresh_interval": "1s"}]
    job["scrape_interval"] = "1s"
    job["relabel_configs"].insert(0, {"source_labels": ["__meta_eureka_app_name"], "regex": "OURS", "action": "keep"})
    write_yaml(directory / "p.yml", {"scrape_configs": [job]})
    port = free_port()
    prometheus = ending(Program("prometheus", [DEPS / "prometheus", f"--config.file={directory}/p.yml", f"--storage.tsdb.path={directory}/tsdb",
                                               f"--web.listen-address=127.0.0.1:{port}"], directory).start())

    def targets():
        assert prometheus.running, prometheus.log()[-3000:]
        return [(t["scrapeUrl"], t["health"], t["labels"]["instance"]) for t in get_json(f"http://127.0.0.1:{port}/api/v1/targets")["data"]["activeTargets"]]
    until("it scrapes", lambda: targets() == [(f"http://{host.name}:{host.sidecar.management}/actuator/prometheus", "up", "o")], 60)
