"""Stock Eureka clients at the embedded registry: a service that knows nothing of ours is reached through the gateway."""
import os
import pathlib
import sys
import urllib.request

import pytest

from tests.support.gateway import Gateway
from tests.support.programs import CHECKOUT, Program, free_port, source, until
from tests.support.stack import Sidecar, get_json

DEPS = pathlib.Path(os.environ.get("CW_DEPS") or CHECKOUT / ".run/deps") / "eureka"
HERE = "tests/interop/eureka"


def node(port, registry):
    return ["node", source(f"{HERE}/greeter.mjs"), DEPS, port, registry]


def python(port, registry):
    return [sys.executable, source(f"{HERE}/greeter.py"), DEPS / "python", port, registry]


def spring(port, registry):
    return ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-jar", DEPS / "greeter.jar", f"--server.port={port}", "--server.address=127.0.0.1",
            "--spring.application.name=greeter-java", "--eureka.instance.hostname=localhost", "--eureka.instance.ip-address=127.0.0.1",
            "--eureka.instance.lease-renewal-interval-in-seconds=1", "--eureka.instance.lease-expiration-duration-in-seconds=3",
            "--eureka.client.registry-fetch-interval-seconds=1", f"--eureka.client.service-url.defaultZone=http://127.0.0.1:{registry}/eureka/"]


CLIENTS = [("GREETER-JS", node, "hello from Node.js", "/?application="), ("GREETER-PY", python, "hello from Python", "/?application="),
           ("GREETER-JAVA", spring, "hello from Spring", "/seen?application=")]


@pytest.fixture
def sidecar(directory, ending):
    (directory / "jwks.json").write_text('{"keys":[]}')
    tenant = {"name": "clinicwave", "domains": ["clinicwave.localhost"], "audiences": ["a"],
              "issuers": [{"issuer": "https://idp.invalid/", "jwks-file": str(directory / "jwks.json")}]}
    return ending(Sidecar(directory, [tenant], registry={
        "provisional": "0s", "static": [{"application": "fixed", "address": "127.0.0.1", "port": 7777, "instance-id": "f"}]}).start())


def status(sidecar, application):
    """Statuses of the application's instances in the registry."""
    request = urllib.request.Request(f"http://127.0.0.1:{sidecar.registry_port}/eureka/apps", headers={"Accept": "application/json"})
    apps = get_json(request)["applications"]["application"]
    return [i["status"] for a in apps if a["name"] == application for i in a["instance"]]


@pytest.mark.parametrize("application, command, greeting, seen", CLIENTS, ids=[c[0] for c in CLIENTS])
def test_a_stock_service_is_reached_through_the_gateway(sidecar, directory, ending, application, command, greeting, seen):
    gateway = ending(Gateway(directory, """
        location /g/ { cw_auth off; cw_strip_prefix /g; proxy_pass http://g; }
        location / { cw_auth off; cw_route_unknown; }""", f"upstream g {{ cw_application {application}; keepalive 4; }}", workers=2).start())
    assert gateway.get("/g/hello").reason == "no_instance"
    service = ending(Program(application.lower(), command(free_port(), sidecar.registry_port), directory).start())

    def reached():
        assert service.running, service.log()[-3000:]
        return gateway.get("/g/hello").body.decode() == greeting
    until(f"{application} is reached", reached, 60)
    assert status(sidecar, application) == ["UP"]
    # its heartbeats are believed: it outlives its lease of a few seconds, and it reads the registry itself
    until("it has found another", lambda: "127.0.0.1:7777" in gateway.get(f"/g{seen}FIXED").body.decode())

    # the registry is restarted and has forgotten it: it registers again
    sidecar.process.kill()
    (directory / "state/registry.json").unlink(missing_ok=True)
    sidecar.start()
    until("it is back", lambda: status(sidecar, application) == ["UP"], 30)
    until("and reached", reached)

    assert service.stop(30) in (0, 143)  # a JVM that SIGTERM ends says 143
    assert status(sidecar, application) == []
    until("it has left", lambda: gateway.get("/g/hello").reason == "no_instance")


def test_a_service_that_dies_leaves_with_its_lease(sidecar, directory, ending):
    service = ending(Program("greeter-py", python(free_port(), sidecar.registry_port), directory).start())
    until("it is registered", lambda: status(sidecar, "GREETER-PY") == ["UP"])
    service.kill()
    until("its lease is over", lambda: status(sidecar, "GREETER-PY") == [])
