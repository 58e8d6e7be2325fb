"""Envoy's users and ours: the same request, asked by Authorization/Check and sent to our gateway, comes to the same end in the same words.

tests/interop/envoy does it again with a real Envoy."""
import pytest

from tests.support.ext_authz import LAX, REQUESTS, Checker, locations, through, token_of
from tests.support.gateway import Gateway


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "joined"])
def test_every_request_ends_alike(directory, sidecar, issuer, service, ending, raw):
    gateway = ending(Gateway(directory, server=locations().replace("@SERVICE@", f"127.0.0.1:{service.port}"), http=LAX).start())
    door, given, differ = Checker(sidecar.socket, raw=raw), {}, []
    for sentence, request in REQUESTS.items():
        token = given.setdefault(request.token, token_of(issuer, request.token))
        want = through(gateway, service, request, token).told(request)
        got = door.get(request.path, token, request.headers, host=request.host).told(request)
        if got != want:
            differ.append(f"{sentence}:\n  gateway {want}\n  check   {got}")
    assert not differ, "\n".join(differ)
