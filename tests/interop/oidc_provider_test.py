"""npm's oidc-provider as the issuer of the tenant abott: keys by discovery over HTTPS, its tokens open the same door."""
import pytest

from tests.support import tokens
from tests.support.programs import until
from tests.support.provider import Provider
from tests.support.route import Route

ABOTT = "abott.localhost"


@pytest.fixture
def provider(directory, authority, ending):
    return ending(Provider(directory, authority).start())


@pytest.fixture
def route(directory, authority, provider, ending):
    return ending(Route(directory, authority, idp_port=provider.port).start())


def test_its_tokens_open_the_door_of_their_tenant_and_no_other(route, provider):
    bob = provider.token(grant_type="password", username="bob@abott.com", password="a password of this test")
    until("the service is found", lambda: route.gateway.get("/api/storage/files", bob, host=ABOTT).status == 200)
    assert route.gateway.put("/api/storage/files/a.txt", bob, host=ABOTT, content=b"abott's").status == 201
    assert route.gateway.get("/api/storage/files/a.txt", bob, host=ABOTT).text == "abott's"

    elsewhere = route.gateway.get("/api/storage/files", bob, host="clinicwave.localhost")
    assert (elsewhere.status, elsewhere.reason) == (401, "issuer_unknown")
    anna = route.token()
    assert route.gateway.get("/api/storage/files/a.txt", anna, https=True).status == 404
    assert route.gateway.get("/api/storage/files", anna, host=ABOTT).status == 401


def test_a_machine_client_of_it_is_let_in_by_its_scope(route, provider):
    machine = provider.token(grant_type="client_credentials", scope="files:read")
    until("the service is found", lambda: route.gateway.get("/api/storage/files", machine, host=ABOTT).status == 200)


def test_the_sidecar_reads_its_namespaced_roles(route, provider):
    bob = provider.token(grant_type="password", username="bob@abott.com", password="a password of this test")
    answer = route.stub("clinicwave.token.v1.TokenService", "sidecar.sock").Validate(token=bob.encode(), domain=ABOTT)
    assert answer.decision == 1, answer
    assert answer.identity.subject == "bob@abott.com"
    assert list(answer.identity.roles) == ["nurse"]
    assert answer.identity.issuer == provider.url


def test_a_tampered_token_of_it_is_refused(route, provider):
    bob = provider.token(grant_type="password", username="bob@abott.com", password="a password of this test")
    answer = route.gateway.get("/api/storage/files", tokens.tampered(bob, sub="admin"), host=ABOTT)
    assert (answer.status, answer.reason) == (401, "signature_invalid")
