"""A real Keycloak as the identity provider of the tenant abott: discovery decides the endpoints, its errors are told in our words, its tokens
are judged by our sidecar with the roles where Keycloak puts them (realm_access.roles). One server for all tests: its start takes a while."""
import pathlib
import shutil
import tempfile
import types

import pytest

from tests.e2e.authsvc.doors import DOORS, document
from tests.e2e.authsvc.idp_world import ABOTT, abott, claims
from tests.support import keycloak, tokens
from tests.support.keycloak import BOB, EVE, PASSWORD
from tests.support.programs import until
from tests.support.stack import Authsvc, Sidecar

CAROL, DORA = "carol@abott.com", "dora@abott.com"
QUICK_START = "-XX:TieredStopAtLevel=1"


@pytest.fixture(scope="module")
def server():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="cw", dir="/tmp"))
    users = [keycloak.user(BOB, "nurse"), keycloak.user(EVE, enabled=False), keycloak.user(CAROL, "nurse", "auditor"), keycloak.user(DORA)]
    server = keycloak.Keycloak(directory, [keycloak.realm(users)], java=QUICK_START)
    try:
        yield server.start()
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def authsvc(directory, ending, server):
    idp = types.SimpleNamespace(url=server.url, client=keycloak.CLIENT, secret=keycloak.SECRET)
    config = document(algorithm="ES256")
    tenant = abott(idp, directory, connection=None, timeout="20s", claims={"roles": "realm_access.roles"})
    config["tenants"].append(tenant)
    return ending(Authsvc(directory, config)).start()


@pytest.fixture(params=sorted(DOORS))
def door(request, authsvc):
    return DOORS[request.param](authsvc)


@pytest.fixture
def sidecar(directory, ending, authsvc, server):
    issuer = {"issuer": server.url, "insecure-http-loopback": True, "types": ["JWT"], "claims": {"roles": "realm_access.roles"}}
    tenant = {"name": "abott", "domains": ["abott.com", ABOTT], "audiences": [keycloak.AUDIENCE], "issuers": [issuer]}
    return ending(Sidecar(directory, [tenant], sidecar={"authsvc": {"socket": str(authsvc.socket)}})).start()


def login(door, username=BOB, password=PASSWORD):
    return door.login(username, password, domain=ABOTT)


def allowed(sidecar, token):
    """The verdict, once the sidecar has Keycloak's keys."""
    return until("it is let in", lambda: (v := sidecar.validate(token, ABOTT)).decision == 1 and v, 60)


def offline_sessions(server):
    client, = server.admin("GET", f"/clients?clientId={keycloak.CLIENT}")
    return server.admin("GET", f"/clients/{client['id']}/offline-session-count")["count"]


def test_a_login_answers_with_keycloaks_tokens_and_a_handle_of_ours(door, server):
    outcome = login(door)
    assert outcome.reason is None, outcome
    t = outcome.tokens
    access, identity = claims(t["access_token"]), claims(t["id_token"])
    assert access["iss"] == identity["iss"] == server.url and access["sub"] == identity["sub"]
    assert identity["email"] == BOB and t["refresh_token"].startswith("cwr_") and abs(t["expires_in"] - 300) <= 5
    assert door.userinfo(t["access_token"], domain=ABOTT).tokens["email"] == BOB


def test_refreshes_rotate_both_chains_and_reuse_ends_the_session(door):
    first = login(door).tokens
    second = door.refresh(first["refresh_token"], domain=ABOTT)
    assert second.reason is None, second
    third = door.refresh(second.tokens["refresh_token"], domain=ABOTT)
    assert third.reason is None and third.tokens["session_id"] == first["session_id"]
    assert len({t["access_token"] for t in (first, second.tokens, third.tokens)}) == 3
    assert door.refresh(first["refresh_token"], domain=ABOTT).reason == "refresh_invalid"
    assert door.refresh(third.tokens["refresh_token"], domain=ABOTT).reason == "refresh_invalid"


def test_its_refusals_are_told_in_our_words(door):
    assert login(door, password="wrong").reason == "credentials_invalid"
    assert login(door, "nobody@abott.com").reason == "credentials_invalid"
    assert login(door, EVE).reason == "account_blocked"
    assert login(door, EVE, "wrong").reason == "credentials_invalid"  # told only after the right password


def test_a_user_who_is_disabled_refreshes_no_more(door, server):
    t = login(door, CAROL).tokens
    user, = server.admin("GET", f"/users?username={CAROL}&exact=true")
    server.admin("PUT", f"/users/{user['id']}", json={**user, "enabled": False})
    try:
        assert door.refresh(t["refresh_token"], domain=ABOTT).reason == "refresh_invalid"
        assert login(door, CAROL).reason == "account_blocked"
    finally:
        server.admin("PUT", f"/users/{user['id']}", json={**user, "enabled": True})
    assert login(door, CAROL).reason is None


def test_a_wrong_client_secret_is_the_operators_error(directory, ending, server):
    idp = types.SimpleNamespace(url=server.url, client=keycloak.CLIENT, secret="another")
    config = document(algorithm="ES256")
    config["tenants"].append(abott(idp, directory, connection=None, timeout="20s"))
    assert login(DOORS["rest"](ending(Authsvc(directory, config)).start())).reason == "idp_misconfigured"


def test_its_tokens_are_judged_with_the_roles_of_the_realm(sidecar, server):
    verdict = allowed(sidecar, server.token()["access_token"])
    assert sorted(verdict.identity.roles) == ["nurse", "offline_access"] and verdict.identity.issuer == server.url
    both = allowed(sidecar, server.token(CAROL)["access_token"])
    assert {"nurse", "auditor"} <= set(both.identity.roles)
    assert "nurse" not in allowed(sidecar, server.token(DORA)["access_token"]).identity.roles
    machine = server.token(grant_type="client_credentials", scope="openid")
    assert sidecar.validate(machine["access_token"], ABOTT).decision == 1


def test_its_other_tokens_and_tampered_ones_are_refused(sidecar, server):
    t = server.token()
    allowed(sidecar, t["access_token"])
    assert sidecar.validate(tokens.tampered(t["access_token"], sub="admin"), ABOTT).reason == "signature_invalid"
    assert sidecar.validate(t["id_token"], ABOTT).decision != 1
    assert sidecar.validate(t["refresh_token"], ABOTT).decision != 1  # HS512, with a key that only Keycloak has


def test_a_logout_ends_the_session_here_at_the_sidecar_and_at_keycloak(sidecar, authsvc, server):
    door = DOORS["rest"](authsvc)
    before = offline_sessions(server)
    first, other = login(door, DORA).tokens, login(door).tokens
    second = door.refresh(first["refresh_token"], domain=ABOTT).tokens
    assert offline_sessions(server) == before + 2
    allowed(sidecar, second["access_token"])
    assert door.logout(refresh_token=second["refresh_token"], domain=ABOTT).reason is None
    for token in (first["access_token"], second["access_token"]):
        until("it is refused", lambda: sidecar.validate(token, ABOTT).reason == "token_revoked", 20)
    assert sidecar.validate(other["access_token"], ABOTT).decision == 1
    assert door.refresh(second["refresh_token"], domain=ABOTT).reason == "refresh_invalid"
    until("Keycloak is told", lambda: offline_sessions(server) == before + 1, 20)
