"""What an operator sees of a Eureka server's bad days: cwctl beside the sidecar."""
import json
import os
import subprocess

import pytest

from tests.e2e.registry.eureka_client_test import nobody_is_kept, proxy, server, start  # noqa: F401 fixtures
from tests.support import tokens
from tests.support.discovery import Registration
from tests.support.eureka import Agent, settled
from tests.support.programs import program, until


@pytest.fixture
def cwctl(directory):
    def run(*arguments):
        return subprocess.run([program("cwctl/cwctl"), *arguments], capture_output=True, text=True, timeout=60,
                              env=dict(os.environ, CW_RUN_DIR=str(directory / "agent")))
    return run


def line(done, name):
    """The component's line, and the one below."""
    lines = done.stdout.splitlines()
    [n] = [n for n, text in enumerate(lines) if f" {name}," in text or f" {name}:" in text]
    return lines[n].split(), lines[n], (lines + [""])[n + 1]


def test_health_is_degraded_for_as_long_as_no_server_answers(server, proxy, cwctl, directory, ending):
    server.register("greeter", "a")
    agent = ending(Agent(directory / "agent", [proxy]))
    (agent.directory / "jwks.json").write_text(json.dumps({"keys": [tokens.Key("EdDSA").jwk()]}))  # an empty set would be degraded, too
    agent.start()
    Registration(agent, instance_id="x")
    settled(agent, "greeter", {"a": "UP"})
    all_well = f"2 instances from http://127.0.0.1:{proxy.port}, 0 held, 0 left out, 0 duplicates; 1 of 1 registered"
    until("health is well", lambda: (d := cwctl("health")).returncode == 0 and all_well in line(d, "registry:eureka")[1], 60)
    assert line(cwctl("health"), "registry:eureka")[0][0] == "UP"
    proxy.fault = 503
    until("it is late", lambda: agent.eureka["late"] and agent.eureka["ageSeconds"] >= 1, 60)
    done = cwctl("health")
    words, text, below = line(done, "registry:eureka")
    assert done.returncode == 1 and done.stdout.startswith("DEGRADED\n")
    assert words[0] == "DEGRADED" and ", late, " in text and "HTTP 503" in text and "is the Eureka server up?" in below
    health = json.loads(cwctl("health", "--json").stdout)
    [component] = [c for c in health["components"] if c["name"] == "registry:eureka"]
    assert (health["status"], component["status"]) == ("DEGRADED", "DEGRADED") and component["age_seconds"] >= 1
    assert agent.ready()  # and yet it decides
    proxy.fault = None
    until("health is well again", lambda: cwctl("health").returncode == 0, 60)


def test_instances_are_listed_with_where_they_are_known_from_and_why_they_get_nothing(server, start, cwctl):
    server.register("greeter", "a", 9001)
    server.register("greeter", "b", 9002, ipAddr="198.51.100.7")
    settled(start(server), "greeter", {"a": "UP", "b": "UP"})
    done = cwctl("instances", "greeter")
    assert done.returncode == 0, done.stderr
    found = [text.split() for text in done.stdout.splitlines()]
    assert ["UP", "127.0.0.1:9001", "eureka", "a"] in found
    assert ["UP", "198.51.100.7:9002", "eureka", "b", "gets", "no", "traffic:", "not_allowed"] in found
