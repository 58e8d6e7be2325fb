"""What an administrator does counts for the very next request through gateway and sidecar, without a reload."""
import re

import pytest

from tests.e2e.authsvc.administration import Admin, acknowledged, expect, learning_sidecar, refused, settings
from tests.e2e.authsvc.doors import ANNA, DOORS, HOST, PASSWORD, Rest
from tests.support.programs import until

ACME = "acme.localhost"
ROUTES = "location / { cw_auth required; cw_timeout 5s; proxy_pass http://@SERVICE@; }"


@pytest.fixture
def sidecar(authsvc, directory, ending):
    return learning_sidecar(authsvc, directory, ending)


@pytest.fixture
def gateway(sidecar, nginx):
    return nginx(ROUTES, sidecar=str(sidecar.gateway_socket))


@pytest.fixture
def admin(authsvc):
    return Admin(authsvc)


def answer(gateway, token, host=ACME):
    r = gateway.get("/x", token, host=host)
    return r.status if r.status == 200 else r.reason


def login(authsvc, host=ACME, username=ANNA, door=Rest):
    return door(authsvc).login(username, domain=host).tokens


def known(gateway, token, host=HOST):
    return until("the token is good", lambda: answer(gateway, token, host) == 200)


@pytest.mark.parametrize("door", DOORS.values(), ids=sorted(DOORS))
def test_a_domain_that_was_added_is_served_on_the_next_request(authsvc, gateway, admin, door):
    assert answer(gateway, "x.y.z") == "tenant_unknown"
    at_once = acknowledged(admin.create)
    admin.user()
    token = login(authsvc, door=door)["access_token"]
    expect(at_once, lambda: answer(gateway, token), 200)
    assert gateway.get("/x", token, host=ACME).reached("X-Auth-Tenant") == ["acme"]
    assert answer(gateway, token, HOST) == "issuer_unknown"
    at_once = acknowledged(admin.update, domains="acme.test")
    expect(at_once, lambda: answer(gateway, token), "tenant_unknown")
    assert answer(gateway, token, "acme.test") == 200


def test_disabled_tenants_tokens_are_refused_cached_or_not_and_count_again_when_enabled(authsvc, gateway, admin):
    at_once = acknowledged(admin.create)
    admin.user()
    cached, fresh = login(authsvc)["access_token"], login(authsvc)["access_token"]
    own = login(authsvc, HOST)["access_token"]
    expect(at_once, lambda: answer(gateway, cached), 200)
    known(gateway, own)
    at_once = acknowledged(admin.stub.DisableTenant, name="acme")
    expect(at_once, lambda: answer(gateway, cached), "tenant_disabled")
    for token in (cached, fresh):
        r = gateway.get("/x", token, host=ACME)
        assert (r.status, r.reason) == (403, "tenant_disabled")
    assert answer(gateway, own, HOST) == 200
    at_once = acknowledged(admin.stub.EnableTenant, name="acme")
    expect(at_once, lambda: answer(gateway, cached), 200)
    assert answer(gateway, fresh) == 200


def test_a_removed_tenant_is_nobodys_and_its_successor_another(authsvc, gateway, admin):
    at_once = acknowledged(admin.create)
    admin.user()
    token = login(authsvc)["access_token"]
    expect(at_once, lambda: answer(gateway, token), 200)
    admin.stub.DisableTenant(name="acme")
    at_once = acknowledged(admin.stub.DeleteTenant, name="acme")
    expect(at_once, lambda: answer(gateway, token), "tenant_unknown")
    at_once = acknowledged(admin.create)
    admin.user()
    expect(at_once, lambda: answer(gateway, login(authsvc)["access_token"]), 200)
    assert answer(gateway, token) in ("key_unknown", "key_withdrawn")


def jti(token):
    import base64
    import json
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


@pytest.mark.parametrize("cached", [True, False])
def test_revoked_by_token_session_subject_and_tenant(authsvc, gateway, admin, cached):
    bob = admin.user("clinicwave", "bob@clinicwave.com")
    at_once = acknowledged(admin.create)
    admin.user()
    a, b, c = (login(authsvc, HOST)["access_token"] for _ in range(3))
    bobs = login(authsvc, HOST, "bob@clinicwave.com")["access_token"]
    acme = login(authsvc)["access_token"]
    known(gateway, login(authsvc, HOST)["access_token"])
    expect(at_once, lambda: answer(gateway, login(authsvc)["access_token"]), 200)
    if cached:
        assert [answer(gateway, t, HOST) for t in (a, b, c, bobs)] == [200] * 4 and answer(gateway, acme) == 200
    admin.stub.Revoke(tenant="clinicwave", token_id=jti(a)["jti"])
    assert [answer(gateway, t, HOST) for t in (a, b, c, bobs)] == ["token_revoked", 200, 200, 200]
    admin.stub.Revoke(tenant="clinicwave", session_id=jti(b)["sid"])
    assert [answer(gateway, t, HOST) for t in (b, c, bobs)] == ["token_revoked", 200, 200]
    admin.stub.Revoke(tenant="clinicwave", subject=bob.subject)
    assert [answer(gateway, t, HOST) for t in (c, bobs)] == [200, "token_revoked"]
    assert answer(gateway, login(authsvc, HOST, "bob@clinicwave.com")["access_token"], HOST) == 200  # from now on
    admin.stub.Revoke(tenant="clinicwave", all=True)
    assert answer(gateway, c, HOST) == "token_revoked"
    assert answer(gateway, acme) == 200  # another tenant's
    assert answer(gateway, login(authsvc, HOST)["access_token"], HOST) == 200  # from now on


def test_what_was_revoked_or_disabled_stays_so_without_authsvc(authsvc, sidecar, gateway, admin, directory):
    at_once = acknowledged(admin.create)
    admin.user()
    token, revoked = login(authsvc)["access_token"], login(authsvc, HOST)["access_token"]
    expect(at_once, lambda: answer(gateway, token), 200)
    known(gateway, revoked)
    admin.stub.Revoke(tenant="clinicwave", all=True)
    at_once = acknowledged(admin.stub.DisableTenant, name="acme")
    expect(at_once, lambda: answer(gateway, token), "tenant_disabled")
    until("the revocation is on disk", lambda: answer(gateway, revoked, HOST) == "token_revoked"
          and re.search(rb"https://clinicwave.localhost:8443.*\x38\x01", (directory / "sidecar/state/revocations").read_bytes(), re.S))
    assert sidecar.stop() == 0
    authsvc.process.kill()
    sidecar.start()
    until("the gateway has found the sidecar again", lambda: answer(gateway, token) == "tenant_disabled")
    assert answer(gateway, revoked, HOST) == "token_revoked"


# --- nothing of one tenant counts for another, over both doors ---


@pytest.fixture(params=sorted(DOORS))
def door(request, authsvc, admin):
    admin.create()
    admin.user()
    return DOORS[request.param](authsvc)


def test_a_user_and_a_password_are_one_tenants(door, admin):
    admin.stub.SetPassword(tenant="acme", username=ANNA, password=b"only at acme it is this")
    assert door.login(password="only at acme it is this").reason == "credentials_invalid"
    assert door.login(domain=ACME).reason == "credentials_invalid"
    assert door.login(domain=ACME, password="only at acme it is this").reason is door.login().reason is None
    admin.stub.DisableUser(tenant="acme", username=ANNA)
    assert door.login().reason is None


def test_tokens_sessions_and_refresh_tokens_are_one_tenants(door, gateway, admin):
    own, acme = door.login().tokens, door.login(domain=ACME).tokens
    known(gateway, own["access_token"])
    known(gateway, acme["access_token"], ACME)
    for token, host in ((own, ACME), (acme, HOST)):
        assert door.refresh(token["refresh_token"], domain=host).reason == "refresh_invalid"
        assert door.logout(refresh_token=token["refresh_token"], domain=host).reason == "refresh_invalid"
        assert door.userinfo(token["access_token"], domain=host).reason == "issuer_unknown"
        assert door.sessions(token["access_token"], domain=host).reason == "issuer_unknown"
        assert answer(gateway, token["access_token"], host) == "issuer_unknown"
    assert door.end_session(acme["access_token"], own["session_id"], domain=ACME).reason == "not_found"
    assert refused(lambda: admin.stub.Revoke(tenant="acme", session_id=own["session_id"]))[0] == "not_found"
    for token, host in ((own, HOST), (acme, ACME)):  # all of that has touched nothing
        assert door.refresh(token["refresh_token"], domain=host).reason is None
        assert answer(gateway, token["access_token"], host) == 200


def test_a_subject_of_the_same_name_is_not_the_same(door, gateway, admin):
    acme = door.login(domain=ACME).tokens["access_token"]
    own = door.login().tokens["access_token"]
    known(gateway, own)
    known(gateway, acme, ACME)
    admin.stub.Revoke(tenant="clinicwave", subject=jti(acme)["sub"])
    admin.stub.Revoke(tenant="clinicwave", token_id=jti(acme)["jti"])
    assert answer(gateway, acme) == 200 and answer(gateway, own, HOST) == 200


def test_a_throttle_is_one_tenants(authsvc, door):
    waits = [door.login(password="wrong").reason for _ in range(12)]
    assert waits[-1] == "throttled"
    assert door.login(domain=ACME).reason is None
    assert door.login(domain=ACME, password="wrong").reason == "credentials_invalid"


def test_clients_and_origins_are_one_tenants(door, admin):
    assert door.login(client="mobile").reason is None
    assert door.login(domain=ACME, client="mobile").reason == "client_unknown"
    admin.stub.UpdateTenant(name="acme", settings=settings({"clients[1].id": "kiosk"}))
    assert door.login(domain=ACME, client="kiosk").reason is None
    assert door.login(client="kiosk").reason == "client_unknown"
