"""Instances of an application behind a gateway: a sidecar whose registry takes them in, and services that answer with their name."""
import os

import httpx
import pytest

from tests.support.gateway import Service
from tests.support.programs import until
from tests.support.stack import Sidecar

LOCATION = """
    location /x/ { cw_auth off; cw_strip_prefix /x; proxy_pass http://x; proxy_read_timeout 1s; proxy_connect_timeout 1s; }
    location /var/ { cw_auth off; set $up x; proxy_pass http://$up; }
    location / { cw_auth off; cw_route_unknown; }
"""
# Where slow answers are not the point.
PATIENT = LOCATION.replace("proxy_read_timeout 1s; proxy_connect_timeout 1s;", "")


class Registry:
    """Registers by Eureka's REST API, as a stock client would."""

    def __init__(self, sidecar):
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{sidecar.registry_port}/eureka/apps", trust_env=False)

    def add(self, id, port, app="X", status="UP", **more):
        instance = {"instanceId": id, "hostName": "h", "app": app, "ipAddr": "127.0.0.1", "status": status, "port": {"$": port, "@enabled": "true"},
                    "dataCenterInfo": {"@class": "com.netflix.appinfo.MyDataCenterInfo", "name": "MyOwn"}, **more}
        assert self.http.post(f"/{app}", json={"instance": instance}).status_code == 204

    def remove(self, id, app="X"):
        assert self.http.delete(f"/{app}/{id}").status_code == 200

    def override(self, id, status, app="X"):
        assert self.http.put(f"/{app}/{id}/status", params={"value": status}).status_code == 200


def named(name, ending, reply=None):
    """A service that answers with its name."""
    service = Service()
    service.reply = reply or (lambda seen: (200, {"X-Instance": name}, name.encode()))
    return ending(service.start())


@pytest.fixture
def start_sidecar(directory, ending):
    (directory / "jwks.json").write_text('{"keys":[]}')
    tenant = {"name": "clinicwave", "domains": ["clinicwave.localhost"], "audiences": ["a"],
              "issuers": [{"issuer": "https://idp.invalid/", "jwks-file": str(directory / "jwks.json")}]}

    def start(**changes):
        return ending(Sidecar(directory, [tenant], registry={"provisional": "0s", "grace-period": "1s", "socket-directories": [str(directory)],
                                                             "register": [{"uid": str(os.getuid()), "applications": ["x"]}], **changes}).start())
    return start


@pytest.fixture
def sidecar(start_sidecar):
    return start_sidecar()


@pytest.fixture
def registry(sidecar):
    return Registry(sidecar)


def who(gateway, path="/x/"):
    answer = gateway.get(path)
    return answer.headers.get("x-instance") if answer.status == 200 else answer.reason


def until_served(gateway, *names, path="/x/"):
    """Until those, and only those, are met in a row of requests."""
    until(f"{names} serve", lambda: {who(gateway, path) for _ in range(4 * len(names))} == set(names))
