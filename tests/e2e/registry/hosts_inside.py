"""Three hosts and three cables, each pulled once and put back, under load.

      gateway, sidecar A, service one
       │ cable 1                │ cable 2
    registry ──── cable 3 ──── sidecar B, services two and three
"""
import subprocess
import sys

import pytest

from tests.support.discovery import UP, Registration, Watch
from tests.support.eureka import Agent, Answering, Embedded, Registry
from tests.support.gateway import Gateway, Load
from tests.support.hosts import Host
from tests.support.programs import Program, accepting, free_port, until

GREETER = "location /g/ { cw_auth off; cw_strip_prefix /g; proxy_pass http://g; proxy_next_upstream error timeout; proxy_connect_timeout 500ms; proxy_read_timeout 3s; }"
ALL = {"GREETER": {"one": UP, "two": UP, "three": UP}}


class Far(Registry):
    """The registry as this host reaches it."""

    url = "http://10.77.1.2:8761/eureka/"


@pytest.fixture
def hosts(ending):
    registry, services = (ending(Host(n)) for n in (1, 2))
    registry.connect(services, 3)
    return registry, services


@pytest.fixture
def registry(hosts, directory, ending):
    """The embedded one, which listens on loopback only, and a door before it."""
    server = ending(Embedded(directory / "registry"))
    server.process.argv = [*hosts[0].inside, *server.process.argv]
    server.process.start().until_ready(lambda: accepting(server.sidecar.socket))
    door = directory / "door"
    door.mkdir()
    paths = " ".join(f"{p}_temp_path {door}/{p};" for p in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (door / "nginx.conf").write_text(f"user root root; daemon off; pid {door}/nginx.pid; events {{ }}\nhttp {{ access_log off; {paths}\n"
                                     f"server {{ listen 8761; location / {{ proxy_pass http://127.0.0.1:{server.port}; }} }} }}\n")
    ending(Program("door", [*hosts[0].inside, "/usr/sbin/nginx", "-p", door, "-c", door / "nginx.conf", "-e", door / "error.log"], directory).start())
    far = Far()
    until("it is reached", lambda: far.call("GET", "apps")[0] == 200)
    return far


def agent_at(directory, registry, address, host=None):
    agent = Agent(directory, [f"http://{registry}:8761/eureka/"], {"instance": {"address": address, "host-name": address}}, allow=["10.77.0.0/16"])
    agent.process.argv = [*(host.inside if host else []), *agent.process.argv]
    agent.process.start().until_ready(lambda: accepting(agent.socket) and accepting(agent.gateway_socket))
    return agent


def service_at(host, directory, name, ending):
    """A service there that says its name; its port."""
    (directory / name).mkdir()
    (directory / name / "hello").write_text(name)
    port = free_port()
    ending(Program(name, [*host.inside, sys.executable, "-m", "http.server", port, "--bind", "0.0.0.0", "--directory", directory / name], directory).start())
    until(f"{name} answers", lambda: subprocess.run([*host.inside, "curl", "-sf", "-m", "5", "-o", "/dev/null", f"http://127.0.0.1:{port}/hello"]).returncode == 0)
    return port


@pytest.fixture(autouse=True)
def nobody_is_kept():
    yield
    Registration.kept.clear()


def test_three_cables_are_pulled_and_put_back(hosts, registry, directory, ending):
    here = ending(agent_at(directory / "a", "10.77.1.2", "10.77.2.1"))
    there = ending(agent_at(directory / "b", "10.77.3.1", "10.77.2.2", hosts[1]))

    def health_there():
        return hosts[1].json(f"http://127.0.0.1:{there.management}/actuator/health")["components"]["registry"]["details"]["eureka"]

    Registration(here, application="greeter", instance_id="one", port=ending(Answering("one")).server_port)
    Registration(there, application="greeter", instance_id="two", port=service_at(hosts[1], directory, "two", ending))
    watch, seen_there = Watch(here, "GREETER"), Watch(there, "GREETER")
    for w in (watch, seen_there):
        w.until({"GREETER": {"one": UP, "two": UP}}, 30)
    gateway = ending(Gateway(directory, GREETER, "upstream g { cw_application GREETER max_fails=1 fail_timeout=1s max_fail_timeout=2s; }", sidecar=here.gateway_socket).start())
    until("it is reached", lambda: gateway.get("/g/hello").status == 200)
    load = ending(Load(gateway, "/g/hello"))
    load.until_served_by("one", "two")
    forgotten = len(here.events("eureka-forgotten"))

    # 1: between the gateway's host and the registry. It goes on with what it knows, and says so
    hosts[0].pull()
    until("health says it is late", lambda: here.eureka["late"] and here.eureka["error"] != "", 60)
    assert here.metric("age_seconds") >= 1 and here.ready()
    assert here.events("eureka-unread")[-1]["error.message"].split(":")[0] in ("timeout", "unavailable")
    seen_there.until({"GREETER": {"two": UP}}, 60)  # the registry heard no heartbeat of one: its lease is over
    Registration(there, application="greeter", instance_id="three", port=service_at(hosts[1], directory, "three", ending))
    seen_there.until({"GREETER": {"two": UP, "three": UP}}, 30)
    assert watch.state() == {"GREETER": {"one": UP, "two": UP}}
    load.until_served_by("one", "two")
    hosts[0].plug()
    for w in (watch, seen_there):
        w.until(ALL, 60)
    until("health is well", lambda: here.eureka["error"] == "" and not here.eureka["late"] and here.eureka["registered"] == 1, 60)
    assert len(here.events("eureka-reading")) == 2 and len(here.events("eureka-forgotten")) == forgotten + 1
    load.until_served_by("one", "two", "three")

    # 2: between the services' host and the registry, which takes them out when their leases are over
    hosts[0].pull(3)
    watch.until({"GREETER": {"one": UP}}, 60)
    until("their sidecar says so", lambda: health_there()["late"], 60)
    assert seen_there.state() == ALL and there.events("eureka-unrenewed")
    load.until_served_by("one")
    hosts[0].plug(3)
    watch.until(ALL, 60)
    until("their sidecar is well", lambda: health_there()["error"] == "" and health_there()["registered"] == 2, 60)
    load.until_served_by("one", "two", "three")

    # 3: between the gateway and the services, of which the registry knows nothing
    hosts[1].pull()
    until("they are passed over", lambda: load.of_the_next(10) == {"one"}, 60)
    assert watch.state() == ALL
    hosts[1].plug()
    load.until_served_by("one", "two", "three", seconds=60)

    load.stop()
    assert not load.bad, load.bad[:5]
    listed = [i["instanceId"] for a in registry.call("GET", "apps")[1]["applications"]["application"] if a["name"] == "GREETER" for i in a["instance"]]
    assert sorted(listed) == ["one", "three", "two"]
