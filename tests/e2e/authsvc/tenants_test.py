"""Tenants that are added, changed, disabled and removed while cw-authsvc runs; over both doors."""
import base64
import contextlib
import json
import os
import signal
import sqlite3

import pytest
import yaml

from tests.e2e.authsvc.administration import SETTINGS, Admin, refused, settings
from tests.e2e.authsvc.doors import ANNA, DOORS, PASSWORD, Grpc, Rest
from tests.support import rpc
from tests.support.programs import until


by_hand = pytest.mark.skipif(os.environ.get("CW_STORE") == "postgresql", reason="looks into SQLite's file; the statements are the same")


def algorithm(token):
    header = token.split(".")[0]
    return json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["alg"]


@pytest.fixture
def admin(authsvc):
    return Admin(authsvc)


@pytest.mark.parametrize("name", sorted(DOORS))
def test_an_added_tenant_logs_in_at_once_and_only_its_own_users(authsvc, admin, name):
    door = DOORS[name](authsvc)
    assert door.login(domain="acme.localhost").reason == "tenant_unknown"
    tenant = admin.create()
    assert (tenant.name, list(tenant.domains), tenant.issuer) == ("acme", ["acme.com", "acme.localhost"], "https://acme.localhost:8443")
    assert door.login(domain="acme.localhost").reason == "credentials_invalid"  # anna is another tenant's
    admin.user(password="another password of hers")
    assert door.login(domain="acme.localhost").reason == "credentials_invalid"
    tokens = door.login(domain="ACME.com.", password="another password of hers").tokens
    assert door.userinfo(tokens["access_token"], domain="acme.localhost").reason is None
    assert door.login().reason is None


def test_what_was_added_survives_a_restart_and_a_reload(authsvc, admin):
    admin.create()
    admin.user()
    keys = Rest(authsvc).client.get("/.well-known/jwks.json", headers={"Host": "acme.localhost"}).json()
    authsvc.process.signal(signal.SIGHUP)
    until("the reload is done", lambda: "configuration-reloaded" in authsvc.process.log())
    assert Rest(authsvc).login(domain="acme.localhost").reason is None
    authsvc.stop()
    authsvc.start()
    assert Rest(authsvc).login(domain="acme.localhost").reason is None
    assert Rest(authsvc).client.get("/.well-known/jwks.json", headers={"Host": "acme.localhost"}).json() == keys


def test_the_offline_command_knows_stored_tenants_and_no_others(authsvc, admin):
    admin.create()
    authsvc.stop()
    authsvc.add_user("acme", ANNA, PASSWORD)
    with pytest.raises(AssertionError, match="no tenant is called"):
        authsvc.add_user("nobody", ANNA, PASSWORD)
    authsvc.start()
    assert Rest(authsvc).login(domain="acme.localhost").reason is None


def test_settings_change_and_the_others_stay(authsvc, admin):
    first = admin.create()
    second = admin.update(domains="acme.test", access__token__life="1m")
    assert second.version > first.version and list(second.domains) == ["acme.test"] and second.created_at == first.created_at
    assert {s.name: list(s.values) for s in second.settings}["audiences"] == ["https://api.acme.com"]
    admin.user()
    for door in (Rest(authsvc), Grpc(authsvc)):
        assert door.login(domain="acme.localhost").reason == "tenant_unknown"
        assert door.login(domain="acme.test").tokens["expires_in"] == 60
    admin.stub.UpdateTenant(name="acme", settings=[rpc.message("clinicwave.identity.v1.Setting")(name="access-token-life")])
    assert Rest(authsvc).login(domain="acme.test").tokens["expires_in"] == 300
    assert refused(lambda: admin.update(if_version=first.version, domains="b.test"))[0] == "precondition_failed"


def test_another_algorithm_gets_another_key_and_old_tokens_live_on(start):
    authsvc = start(authsvc={"keys": {"publish-ahead": "10s"}})
    admin = Admin(authsvc)
    admin.create()
    admin.user()
    door = Rest(authsvc)
    old = door.login(domain="acme.localhost").tokens["access_token"]
    admin.update(algorithm="RS256")

    def states():
        return [(k.algorithm, k.state) for k in admin.stub.ListSigningKeys(tenant="acme").keys]
    assert states() == [("ES256", "active"), ("RS256", "pending")]
    until("its time comes", lambda: states() == [("ES256", "retired"), ("RS256", "active")], 60)
    new = door.login(domain="acme.localhost").tokens["access_token"]
    assert algorithm(old) == "ES256" and algorithm(new) == "RS256"
    assert door.userinfo(old, domain="acme.localhost").reason is door.userinfo(new, domain="acme.localhost").reason is None


@pytest.mark.parametrize("name", sorted(DOORS))
def test_disabled_means_no_login_no_refresh_no_token_and_enabled_again_all_of_them(authsvc, admin, name):
    door = DOORS[name](authsvc)
    admin.create()
    admin.user()
    tokens = door.login(domain="acme.localhost").tokens
    for _ in range(2):  # twice is fine
        admin.stub.DisableTenant(name="acme")
    assert door.login(domain="acme.localhost").reason == "tenant_disabled"
    assert door.login(domain="acme.localhost", password="wrong").reason == "tenant_disabled"
    assert door.refresh(tokens["refresh_token"], domain="acme.localhost").reason == "tenant_disabled"
    assert door.userinfo(tokens["access_token"], domain="acme.localhost").reason == "tenant_disabled"
    assert door.logout(refresh_token=tokens["refresh_token"], domain="acme.localhost").reason == "tenant_disabled"
    assert Rest(authsvc).client.get("/.well-known/jwks.json", headers={"Host": "acme.localhost"}).json()["reason"] == "tenant_disabled"
    assert door.login().reason is None  # the others
    authsvc.stop()
    authsvc.start()
    door = DOORS[name](authsvc)
    assert door.login(domain="acme.localhost").reason == "tenant_disabled"
    for _ in range(2):
        Admin(authsvc).stub.EnableTenant(name="acme")
    assert door.userinfo(tokens["access_token"], domain="acme.localhost").reason is None
    assert door.refresh(tokens["refresh_token"], domain="acme.localhost").reason is None


@by_hand
def test_removed_means_that_nothing_of_it_comes_back(authsvc, admin, directory):
    admin.create()
    admin.user()
    door = Rest(authsvc)
    tokens = door.login(domain="acme.localhost").tokens
    door.login(domain="acme.localhost", password="wrong")
    admin.stub.Revoke(tenant="acme", token_id="x")
    assert refused(lambda: admin.stub.DeleteTenant(name="acme"))[0] == "tenant_enabled"
    admin.stub.DisableTenant(name="acme")
    admin.stub.DeleteTenant(name="acme")
    assert door.login(domain="acme.localhost").reason == "tenant_unknown"
    assert refused(lambda: admin.stub.GetTenant(name="acme"))[0] == "not_found"
    assert refused(lambda: admin.stub.DeleteTenant(name="acme"))[0] == "not_found"
    authsvc.stop()
    with contextlib.closing(sqlite3.connect(directory / "state/authsvc.db")) as db:
        tables = [t for t, in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        of_tenants = [t for t in tables if "tenant" in [c[1] for c in db.execute(f"PRAGMA table_info({t})")]]
        left = {t: db.execute(f"SELECT COUNT(*) FROM {t} WHERE tenant = 'acme'").fetchone()[0] for t in of_tenants}
        assert len(left) > 5 and not any(left.values()), left
    authsvc.start()
    door, admin = Rest(authsvc), Admin(authsvc)
    admin.create()  # the same name, another tenant
    assert door.login(domain="acme.localhost").reason == "credentials_invalid"
    assert door.refresh(tokens["refresh_token"], domain="acme.localhost").reason == "refresh_invalid"
    assert door.userinfo(tokens["access_token"], domain="acme.localhost").reason == "key_unknown"
    assert len(admin.stub.ListSigningKeys(tenant="acme").keys) == 1


@pytest.mark.parametrize("changes, reason, says", [
    ({"name": "clinicwave"}, "tenant_conflict", "configuration file"),
    ({"domains": ["b.com", "CLINICWAVE.com"]}, "tenant_conflict", "clinicwave.com: tenants"),
    ({"issuer": "https://other.localhost:8443"}, "tenant_conflict", "issuer"),
    ({"name": "acme.prod", "issuer": "https://b.com"}, "tenant_conflict", "acme"),
    ({"name": "acme"}, "tenant_conflict", "already"),
    ({"name": "a b"}, "tenant_invalid", "letters"), ({"name": ""}, "tenant_invalid", "letters"), ({"name": "a" * 65}, "tenant_invalid", "letters"),
    ({"name": "x", "domains": None}, "tenant_invalid", "domains: is required"),
    ({"name": "x", "issuer": "ftp://a"}, "tenant_invalid", "issuer: \"ftp://a\" is no URL"),
    ({"name": "x", "algorithm": "none"}, "tenant_invalid", "algorithm"),
    ({"name": "x", "access__token__life": "9d"}, "tenant_invalid", "access-token-life"),
    ({"name": "x", "nonsense": "1"}, "tenant_invalid", "nonsense: unknown key"),
    ({"name": "x", "clients[2].id": "b"}, "tenant_invalid", "an element before it is missing"),
    ({"name": "x", "idp.ca__file": "/etc/passwd"}, "tenant_invalid", "names a file"),
    ({"name": "x", "idp.client__secret__file": "/etc/passwd"}, "tenant_invalid", "is a secret")])
def test_what_cannot_be_a_tenant_is_refused_with_the_reason_and_changes_nothing(authsvc, admin, changes, reason, says):
    admin.create()
    unique = {"domains": ["x.com"], "issuer": ["https://x.com"], **changes}
    name = unique.pop("name", "fresh")
    if name == "acme.prod":
        unique["domains"] = ["acme.com"]
    found = refused(lambda: admin.create(name, **unique))
    assert found[0] == reason and says in found[1], found
    names = [t.name for t in admin.stub.ListTenants().tenants]
    assert names == ["acme", "clinicwave", "other"]
    assert Rest(authsvc).login().reason is None


def test_the_configuration_files_tenants_are_shown_and_not_changed(authsvc, admin):
    tenant = admin.stub.GetTenant(name="clinicwave").tenant
    assert tenant.configured and not tenant.version
    assert {s.name: list(s.values) for s in tenant.settings}["clients[1].id"] == ["mobile"]
    for call in (lambda: admin.update("clinicwave", domains="a.test"), lambda: admin.stub.DisableTenant(name="clinicwave"),
                 lambda: admin.stub.DeleteTenant(name="clinicwave")):
        reason, text = refused(call)
        assert reason == "tenant_configured" and "configuration file" in text


def test_a_file_that_wants_what_a_stored_tenant_has_is_refused(authsvc, admin):
    admin.create()
    wanted = yaml.safe_load(authsvc.config.read_text())
    wanted["tenants"][0]["domains"].append("acme.com")
    authsvc.config.write_text(yaml.safe_dump(wanted))
    authsvc.process.signal(signal.SIGHUP)
    until("the reload is refused", lambda: "configuration-refused" in authsvc.process.log())
    assert "domain acme.com" in authsvc.process.log()
    assert Rest(authsvc).login(domain="acme.com").reason == "credentials_invalid"
    authsvc.stop()
    assert authsvc.process.start().process.wait(20) == 2 and "acme.com" in authsvc.process.log()


def test_yaml_and_json_documents_are_taken_and_replace_all_settings(authsvc, admin):
    text = "domains: [acme.com]\nissuer: https://acme.com\naudiences: [a]\nclients:\n  - id: portal\n  - id: mobile\n    scopes: [openid]\n"
    tenant = admin.stub.CreateTenant(name="acme", document=text.encode(), settings=settings({"algorithm": "ES256"})).tenant
    assert {s.name: list(s.values) for s in tenant.settings} == {
        "domains": ["acme.com"], "issuer": ["https://acme.com"], "audiences": ["a"], "clients[0].id": ["portal"], "clients[1].id": ["mobile"],
        "clients[1].scopes": ["openid"], "algorithm": ["ES256"]}
    json = b'{"domains": ["acme.com"], "issuer": "https://acme.com", "audiences": ["a"], "algorithm": "ES256", "clients": [{"id": "web"}]}'
    tenant = admin.stub.UpdateTenant(name="acme", document=json).tenant
    assert "clients[1].id" not in {s.name for s in tenant.settings}
    assert refused(lambda: admin.stub.UpdateTenant(name="acme", document=b"domains: [\n"))[0] == "tenant_invalid"
    assert refused(lambda: admin.stub.UpdateTenant(name="acme", document=b"- a\n"))[0] == "tenant_invalid"


def test_secrets_go_in_sealed_and_never_come_out(authsvc, admin, directory):
    secret = rpc.message("clinicwave.identity.v1.SecretSetting")
    wanted = {**SETTINGS, "login": "idp", "idp.client-id": "us"}
    reason, text = refused(lambda: admin.stub.CreateTenant(name="acme", settings=settings(wanted)))
    assert reason == "tenant_invalid" and "client-secret-file" in text
    tenant = admin.stub.CreateTenant(name="acme", settings=settings(wanted),
                                     secrets=[secret(name="idp.client-secret-file", value=b"hunter2-and-more")]).tenant
    shown = admin.stub.GetTenant(name="acme").tenant
    assert "hunter2" not in str(tenant) + str(shown) + authsvc.process.log()
    admin.update(access__token__life="1m")  # the secret stays
    authsvc.stop()
    assert all(b"hunter2" not in p.read_bytes() for p in (directory / "state").iterdir())
    authsvc.start()
    assert not Admin(authsvc).stub.GetTenant(name="acme").tenant.problem
    reason, text = refused(lambda: Admin(authsvc).stub.UpdateTenant(name="acme", secrets=[secret(name="idp.client-secret-file")]))
    assert reason == "tenant_invalid"
    reason, text = refused(lambda: Admin(authsvc).stub.UpdateTenant(name="acme", secrets=[secret(name="issuer", value=b"https://b.com")]))
    assert reason == "tenant_invalid"


def test_lists_come_in_pages(admin):
    for name in ("c", "a", "b"):
        admin.create(name, domains=f"{name}.test", issuer=f"https://{name}.test")
    seen, token = [], b""
    while True:
        page = admin.stub.ListTenants(page_size=2, page_token=token)
        assert len(page.tenants) <= 2
        seen += [t.name for t in page.tenants]
        token = page.next_page_token
        if not token:
            break
    assert seen == ["a", "b", "c", "clinicwave", "other"]


@by_hand
def test_a_tenant_that_this_version_cannot_use_is_left_out_and_told(authsvc, admin, directory):
    admin.create()
    authsvc.stop()
    with contextlib.closing(sqlite3.connect(directory / "state/authsvc.db")) as db, db:
        db.execute("UPDATE tenant_config SET document = '{\"domains\":\"acme.com\",\"of-the-future\":\"1\"}', version = version + 1")
    authsvc.start()
    tenant = Admin(authsvc).stub.GetTenant(name="acme").tenant
    assert "of-the-future" in tenant.problem and "tenant-refused" in authsvc.process.log()
    assert Rest(authsvc).login(domain="acme.com").reason == "tenant_unknown"
    assert Rest(authsvc).login().reason is None
