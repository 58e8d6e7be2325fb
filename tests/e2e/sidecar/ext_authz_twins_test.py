"""Envoy's users and ours: the same request, asked by Authorization/Check and sent to our gateway, comes to the same end in the same words.

tests/interop/envoy does it again with a real Envoy."""
import pytest

from tests.support.ext_authz import REQUESTS, Checker, Outcome, by_name, locations, token_of
from tests.support.fixtures import tenant_of
from tests.support.gateway import Gateway
from tests.support.stack import Sidecar

# Where Envoy has joined headers, one that holds two tokens looks like two: refused all the same, under another name.
ONE_BY_ONE = ("two tokens on a route without a rule", "authorization 'Bearer a, Bearer b'")
LAX = "underscores_in_headers on; ignore_invalid_headers off;"  # what nginx would drop by itself is seen by our module


def through_gateway(gateway, service, request, token):
    """One request through nginx; what the service saw of it."""
    service.requests.clear()
    headers = {}
    for name, value in [*request.headers, *([("Authorization", f"Bearer {token}")] if token is not None else [])]:
        headers.setdefault(name, []).append(value)
    r = gateway.get(request.path, headers=headers, host=request.host)
    reached = service.requests[-1] if service.requests else None
    assert (reached is None) == (r.status != 200)
    return Outcome(r.status, r.headers, r.body, by_name(reached["headers"]) if reached else None)


@pytest.fixture
def world(directory, authority, issuer, service, ending):
    sidecar = ending(Sidecar(directory, [tenant_of(issuer, authority)]).start())
    gateway = ending(Gateway(directory, server=locations().replace("@SERVICE@", f"127.0.0.1:{service.port}"), http=LAX).start())
    return issuer, service, gateway, Checker(sidecar.socket), Checker(sidecar.socket, raw=False)


def test_every_request_ends_alike(world):
    issuer, service, gateway, raw, joined = world
    issuer_tokens, differ = {}, []
    for sentence, request in REQUESTS.items():
        token = issuer_tokens.setdefault(request.token, token_of(issuer, request.token))
        want = through_gateway(gateway, service, request, token).told(request)
        for door in (raw, joined):
            if door is joined and sentence in ONE_BY_ONE:
                continue
            got = door.get(request.path, token, request.headers, host=request.host).told(request)
            if got != want:
                differ.append(f"{sentence} ({'raw' if door.raw else 'joined'}):\n  gateway {want}\n  check   {got}")
    assert not differ, "\n".join(differ)
