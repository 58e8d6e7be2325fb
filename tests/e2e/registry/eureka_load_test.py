"""Requests without a pause through the real gateway while registries and the sidecar have their bad days: none fails that an instance could
have served. Two embedded registries, in which every service registers; tests/interop/eureka has two real ones that are each other's peers."""
import pytest

from tests.support.discovery import UP, Registration, Watch
from tests.support.eureka import Agent, Answering, Embedded, Proxy
from tests.support.gateway import Gateway, Load
from tests.support.programs import until

LOCATION = "location /g/ { cw_auth off; cw_strip_prefix /g; proxy_pass http://g; proxy_next_upstream error timeout; }"


@pytest.fixture(autouse=True)
def nobody_is_kept():
    yield
    Registration.kept.clear()


@pytest.fixture
def services(ending):
    return {name: ending(Answering(name)).server_port for name in ("one", "two")}


def register(services, *servers):
    for server in servers:
        for name, port in services.items():
            server.register("greeter", name, port)


def test_no_request_fails_whatever_the_registries_and_the_sidecar_do(services, directory, ending):
    a, b = (ending(Embedded(directory / n).start()) for n in ("a", "b"))
    slow = ending(Proxy(b))
    register(services, a, b)
    agent = ending(Agent(directory / "agent", [{"url": a.url, "zone": "a"}, {"url": slow.url, "zone": "b"}],
                         {"zone": "a", "hold": "60s", "lease-duration": "60s", "instance": {"address": "127.0.0.1"}}).start())
    mine = Registration(agent, application="mine", instance_id="m")
    watch = Watch(agent, "GREETER")
    watch.until({"GREETER": {"one": UP, "two": UP}}, 30)
    gateway = ending(Gateway(directory, LOCATION, "upstream g { cw_application GREETER; keepalive 4; }", workers=2, sidecar=agent.gateway_socket).start())
    until("it is reached", lambda: gateway.get("/g/").status == 200)
    load = ending(Load(gateway))
    load.until_served_by("one", "two")

    # A is frozen, B lies behind a slow line
    slow.fault = "slow"
    a.process.pause()
    until("B is asked", lambda: agent.eureka["server"].endswith(f":{slow.port}") and agent.eureka["error"] == "", 60)
    load.until_served_by("one", "two")
    slow.fault = None
    a.process.go_on()

    # B is killed; A comes back from a restart that made it forget everything
    b.kill()
    a.kill()
    until("health says that nobody answers", lambda: agent.eureka["error"] != "" and agent.eureka["late"], 60)
    load.until_served_by("one", "two")
    a.start()
    until("the empty one is read", lambda: agent.eureka["error"] == "" and agent.eureka["held"] == 2, 60)
    load.until_served_by("one", "two")
    register(services, a)
    until("they are listed again", lambda: agent.eureka["held"] == 0, 60)
    until("the sidecar's own service is back", lambda: a.statuses("mine") == {"m": "UP"}, 60)

    # the sidecar and the registry at once, both without a word; the sidecar finds an empty registry
    until("it is saved", lambda: '"two"' in (agent.directory / "state/eureka.json").read_text(), 60)
    agent.process.kill()
    a.kill()
    load.until_served_by("one", "two")
    agent.start()
    load.until_served_by("one", "two")
    a.start()
    until("the empty one is read", lambda: agent.eureka["ageSeconds"] >= 0, 60)
    load.until_served_by("one", "two")
    register(services, a)
    until("they are listed again", lambda: agent.eureka["held"] == 0 and agent.eureka["instances"] >= 2, 60)
    load.until_served_by("one", "two")

    load.stop()
    assert not load.bad, load.bad[:5]
    assert load.good > 100 and mine
    assert all({"one", "two"} <= {i.instance_id for g in s.applications for i in g.instances if i.status == UP} or s.provisional for s in watch.snapshots)
