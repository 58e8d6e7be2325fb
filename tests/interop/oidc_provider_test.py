"""npm's oidc-provider, dressed as Auth0, as the identity provider of the tenant abott, on both of Auth0's dialects of access
tokens: its tokens open the gateway's door, and authsvc logs in, refreshes and logs out by it."""
import json

import pytest

from tests.support import tokens
from tests.support.programs import until
from tests.support.provider import BOB, PASSWORD, SECRET, Provider
from tests.support.route import Route

ABOTT = "abott.localhost"


@pytest.fixture(params=["auth0", "rfc9068"])
def provider(request, directory, authority, ending):
    return ending(Provider(directory, authority, request.param).start())


@pytest.fixture
def route(directory, authority, provider, ending):
    return ending(Route(directory, authority, idp_port=provider.port, idp_secret=SECRET).start())


def test_its_tokens_are_of_the_dialect_that_was_asked_for(provider):
    head, payload, _ = provider.token(grant_type="password", username=BOB, password=PASSWORD).split(".")
    header, claims = (json.loads(tokens.unb64(part)) for part in (head, payload))
    assert (header["alg"], claims["iss"]) == ("RS256", provider.url) and claims["sub"].startswith("auth0|")
    assert claims["aud"] == ["https://api.abott.com", provider.url + "userinfo"] and claims["https://abott.com/roles"] == ["nurse"]
    of_auth0, of_rfc9068 = {"azp", "gty"}, {"client_id", "jti"}
    if provider.profile == "auth0":
        assert header["typ"] == "JWT" and of_auth0 <= set(claims) and not of_rfc9068 & set(claims)
        assert (claims["azp"], claims["gty"]) == ("clinicwave", "password")
    else:
        assert header["typ"] == "at+jwt" and of_rfc9068 <= set(claims) and not of_auth0 & set(claims)
        assert claims["client_id"] == "clinicwave"


def test_its_tokens_open_the_door_of_their_tenant_and_no_other(route, provider):
    bob = provider.token(grant_type="password", username=BOB, password=PASSWORD)
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
    bob = provider.token(grant_type="password", username=BOB, password=PASSWORD)
    answer = route.stub("clinicwave.token.v1.TokenService", "sidecar.sock").Validate(token=bob.encode(), domain=ABOTT)
    assert answer.decision == 1, answer
    assert answer.identity.subject.startswith("auth0|")
    assert list(answer.identity.roles) == ["nurse"]
    assert answer.identity.issuer == provider.url


def test_a_tampered_token_of_it_is_refused(route, provider):
    bob = provider.token(grant_type="password", username=BOB, password=PASSWORD)
    answer = route.gateway.get("/api/storage/files", tokens.tampered(bob, sub="admin"), host=ABOTT)
    assert (answer.status, answer.reason) == (401, "signature_invalid")


def login(route, username=BOB, password=PASSWORD):
    return route.gateway.request("POST", "/auth/v1/login", https=True, host=ABOTT, json={"username": username, "password": password})


def post(route, path, token=None, **body):
    return route.gateway.request("POST", f"/auth/v1/{path}", token, https=True, host=ABOTT, **({"json": body} if body else {}))


def files(route, token):
    return route.gateway.get("/api/storage/files", token, host=ABOTT, https=True)


def test_bob_logs_in_at_the_gateway_refreshes_and_logs_out(route, provider):
    answer = until("the provider is known", lambda: (a := login(route)).status != 503 and a, 20)
    assert answer.status == 200, answer
    first = answer.json
    until("the service is found", lambda: files(route, first["access_token"]).status == 200, 20)
    answer = post(route, "refresh", refresh_token=first["refresh_token"])
    assert answer.status == 200, answer
    second = answer.json
    assert second["access_token"] != first["access_token"] and second["session_id"] == first["session_id"]
    assert files(route, second["access_token"]).status == 200
    claims = route.gateway.get("/auth/v1/userinfo", second["access_token"], host=ABOTT, https=True).json
    assert claims["email"] == BOB and claims["sub"].startswith("auth0|")
    # Auth0's default tokens have no jti: two of one second are the same, byte for byte, and end together.
    other = until("another token", lambda: (t := login(route).json)["access_token"] not in (first["access_token"], second["access_token"]) and t)
    assert post(route, "logout", refresh_token=second["refresh_token"]).status == 204
    for token in (first["access_token"], second["access_token"]):
        refused = files(route, token)
        assert (refused.status, refused.reason) == (401, "token_revoked"), refused
    assert files(route, other["access_token"]).status == 200
    assert post(route, "refresh", refresh_token=second["refresh_token"]).reason == "refresh_invalid"


def test_a_used_refresh_token_ends_the_family_at_the_provider_too(route, provider):
    token = until("the provider is known", lambda: (a := login(route)).status == 200 and a.json, 20)["refresh_token"]
    chain = [token]
    for _ in range(3):
        answer = post(route, "refresh", refresh_token=chain[-1])
        assert answer.status == 200, answer
        chain.append(answer.json["refresh_token"])
    assert post(route, "refresh", refresh_token=chain[0]).reason == "refresh_invalid"
    assert post(route, "refresh", refresh_token=chain[-1]).reason == "refresh_invalid"


def test_its_refusals_are_told_in_our_words(route, provider):
    until("the provider is known", lambda: login(route).status == 200, 20)
    for username, password, reason in ((BOB, "wrong", "credentials_invalid"), ("nobody@abott.com", "x", "credentials_invalid"),
                                       ("eve@abott.com", PASSWORD, "account_blocked"), ("eve@abott.com", "wrong", "credentials_invalid")):
        answer = login(route, username, password)
        assert answer.reason == reason, answer
    refused = route.gateway.request("POST", "/auth/v1/login", https=True, json={"username": BOB, "password": PASSWORD})
    assert refused.reason == "credentials_invalid"  # at clinicwave's domain he is nobody
