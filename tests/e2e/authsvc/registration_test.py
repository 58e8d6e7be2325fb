"""authsvc in the registry: told to Eureka by the sidecar of its host, drained before it stops."""
import os
import urllib.request

import pytest

from tests.e2e.authsvc.doors import ANNA, PASSWORD, Rest
from tests.support.eureka import Agent, Embedded
from tests.support.programs import until
from tests.support.stack import get_json


@pytest.fixture
def server(directory, ending):
    return ending(Embedded(directory / "server").start())


@pytest.fixture
def agent(directory, server, ending):
    return ending(Agent(directory / "agent", [server], {"lease-duration": "300s"}).start())  # nothing leaves by itself


def registry(agent, **changes):
    return {"authsvc": {"registry": {"socket": str(agent.socket), **changes}}}


def events(authsvc, action):
    return [line for line in authsvc.process.log().splitlines() if f'"event.action":"{action}"' in line]


def health(authsvc):
    return get_json(f"http://127.0.0.1:{authsvc.management}/actuator/health")["components"].get("registration")


def test_it_is_a_full_instance_and_leaves_in_order(start, server, agent):
    authsvc = start(**registry(agent, **{"shutdown-delay": "8s"}))
    until("it is at Eureka", lambda: list(server.statuses("authsvc").values()) == ["UP"])
    [told] = server.instances("authsvc").values()
    assert told["app"] == "AUTHSVC" and told["vipAddress"] == told["secureVipAddress"] == "authsvc"
    assert told["port"] == {"$": authsvc.rest, "@enabled": "true"} and told["metadata"] == {"management.port": str(authsvc.management)}
    assert told["healthCheckUrl"] == f"http://localhost:{authsvc.management}/actuator/health"
    assert urllib.request.urlopen(told["healthCheckUrl"], timeout=5).status == 200
    until("it says so", lambda: health(authsvc)["details"]["registered"] is True)
    assert len(events(authsvc, "registered")) == 1

    authsvc.process.signal(15)
    until("it takes no new requests", lambda: list(server.statuses("authsvc").values()) == ["OUT_OF_SERVICE"])
    assert Rest(authsvc).login(ANNA, PASSWORD).tokens  # and answers those that come all the same
    assert authsvc.process.process.wait(40) == 0
    until("it has left", lambda: server.statuses("authsvc") == {})


def test_it_comes_back_with_its_sidecar(start, server, agent):
    authsvc = start(**registry(agent))
    until("it is at Eureka", lambda: list(server.statuses("authsvc").values()) == ["UP"])
    agent.stop()
    until("it says so", lambda: health(authsvc)["details"]["registered"] is False)
    assert get_json(f"http://127.0.0.1:{authsvc.management}/actuator/health")["status"] == "UP"  # logins do not need it
    assert Rest(authsvc).login(ANNA, PASSWORD).tokens and events(authsvc, "registration-lost")
    agent.start()
    until("it is back", lambda: health(authsvc)["details"]["registered"] is True)
    until("and stays", lambda: agent.eureka["registered"] == 1 and list(server.statuses("authsvc").values()) == ["UP"])


def test_without_the_key_it_registers_nowhere(start, agent):
    authsvc = start()
    assert health(authsvc) is None and agent.eureka["wanted"] == 0


def test_who_may_not_register_serves_all_the_same(start, directory, server, ending):
    grant = [{"uid": str(os.getuid()), "applications": ["OTHER"]}]
    agent = ending(Agent(directory / "agent", [server], register=grant).start())
    authsvc = start(**registry(agent))
    until("it says why", lambda: any("permission" in e for e in events(authsvc, "registration-lost")))
    assert health(authsvc)["details"]["registered"] is False and Rest(authsvc).login(ANNA, PASSWORD).tokens
    assert server.statuses("authsvc") == {}
