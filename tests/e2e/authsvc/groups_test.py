"""Groups: what their members' tokens say, under the names that the tenant has for it; and AdminService's part in accounts."""
import grpc
import pytest

from tests.e2e.authsvc.administration import ADMIN, Admin, refused
from tests.e2e.authsvc.doors import ANNA, DOORS, HOST, PASSWORD, Rest, Totp
from tests.e2e.authsvc.login_test import claims
from tests.support import rpc
from tests.support.programs import until
from tests.support.stack import Sidecar

NEW = "another one, just as good"


@pytest.fixture
def admin(authsvc):
    return Admin(authsvc)


def put(admin, name, roles=(), permissions=(), tenant="clinicwave", description=""):
    group = rpc.message("clinicwave.identity.v1.ManagedGroup")(name=name, description=description, roles=roles, permissions=permissions)
    admin.stub.PutGroup(tenant=tenant, group=group)


def test_a_member_has_its_own_and_the_groups_roles_once(authsvc, admin, door):
    put(admin, "ward 3", ["nurse", "doctor"], ["files:read"])
    put(admin, "audit", ["auditor"], ["logs:read", "files:read"])
    put(admin, "others", ["chief"], ["everything"])
    for group in ("ward 3", "audit"):
        admin.stub.AddGroupMember(tenant="clinicwave", group=group, username=f" {ANNA.upper()}")
    t = door.login().tokens
    for token in (t["access_token"], t["id_token"]):
        _, c = claims(authsvc, token)
        assert c["roles"] == ["doctor", "auditor", "nurse"] and c["permissions"] == ["logs:read", "files:read"] and "groups" not in c
    assert door.userinfo(t["access_token"]).tokens["roles"] == ["doctor", "auditor", "nurse"]


def test_a_change_counts_from_the_next_refresh(authsvc, admin, door):
    put(admin, "ward", ["nurse"])
    admin.stub.AddGroupMember(tenant="clinicwave", group="ward", username=ANNA)
    t = door.login().tokens
    assert "nurse" in claims(authsvc, t["access_token"])[1]["roles"]
    put(admin, "ward", ["surgeon"])
    t = door.refresh(t["refresh_token"]).tokens
    assert claims(authsvc, t["access_token"])[1]["roles"] == ["doctor", "auditor", "surgeon"]
    admin.stub.RemoveGroupMember(tenant="clinicwave", group="ward", username=ANNA)
    t = door.refresh(t["refresh_token"]).tokens
    assert claims(authsvc, t["id_token"])[1]["roles"] == ["doctor", "auditor"]


def test_groups_are_listed_changed_and_removed(admin):
    for i in range(3):
        put(admin, f"g{i}", ["r"], description="für alle")
    page = admin.stub.ListGroups(tenant="clinicwave", page_size=2)
    assert [g.name for g in page.groups] == ["g0", "g1"] and page.groups[0].description == "für alle"
    page = admin.stub.ListGroups(tenant="clinicwave", page_size=2, page_token=page.next_page_token)
    assert [g.name for g in page.groups] == ["g2"] and not page.next_page_token
    admin.stub.AddGroupMember(tenant="clinicwave", group="g1", username=ANNA)
    admin.stub.AddGroupMember(tenant="clinicwave", group="g1", username=ANNA)  # it is one already
    assert list(admin.stub.ListGroupMembers(tenant="clinicwave", group="g1").usernames) == [ANNA]
    admin.stub.RemoveGroup(tenant="clinicwave", name="g1")
    assert not admin.stub.ListGroupMembers(tenant="clinicwave", group="g1").usernames
    assert [g.name for g in admin.stub.ListGroups(tenant="clinicwave").groups] == ["g0", "g2"]
    assert not admin.stub.ListGroups(tenant="other").groups


def test_what_is_not_there_is_told(admin):
    put(admin, "g")
    for call in (lambda: admin.stub.AddGroupMember(tenant="clinicwave", group="x", username=ANNA),
                 lambda: admin.stub.AddGroupMember(tenant="clinicwave", group="g", username="nobody"),
                 lambda: admin.stub.AddGroupMember(tenant="other", group="g", username=ANNA),
                 lambda: admin.stub.RemoveGroupMember(tenant="clinicwave", group="g", username=ANNA),
                 lambda: admin.stub.RemoveGroup(tenant="clinicwave", name="x"), lambda: admin.stub.ResetMfa(tenant="clinicwave", username=ANNA),
                 lambda: admin.stub.ExpirePassword(tenant="clinicwave", username="nobody"),
                 lambda: admin.stub.IssuePasswordReset(tenant="clinicwave", username="nobody")):
        assert refused(call)[0] == "not_found"


@pytest.mark.parametrize("fields", [{"name": ""}, {"name": "a,b"}, {"name": "x" * 257}, {"name": "a\x07"}, {"name": "g", "roles": ["a,b"]},
                                    {"name": "g", "permissions": [""]}, {"name": "g", "description": "x" * 1025}], ids=lambda f: repr(f)[:30])
def test_what_cannot_be_a_group_is_refused(admin, fields):
    assert refused(lambda: put(admin, **fields))[0] == "request_malformed"


def test_a_tenant_names_the_claims_and_the_sidecar_finds_them(start, directory, ending):
    names = {"roles": "https://clinicwave.com/roles", "permissions": "rights", "groups": "wards"}
    authsvc = start(claims=names)
    admin = Admin(authsvc)
    put(admin, "ward 3", ["nurse"], ["files:read"])
    admin.stub.AddGroupMember(tenant="clinicwave", group="ward 3", username=ANNA)
    (directory / "sidecar").mkdir()
    sidecar = ending(Sidecar(directory / "sidecar", [], sidecar={"authsvc": {"socket": str(authsvc.socket)}}).start())
    for door in (d(authsvc) for d in DOORS.values()):
        t = door.login().tokens
        for told in (claims(authsvc, t["access_token"])[1], claims(authsvc, t["id_token"])[1], door.userinfo(t["access_token"]).tokens):
            assert told["https://clinicwave.com/roles"] == ["doctor", "auditor", "nurse"] and told["rights"] == ["files:read"]
            assert told["wards"] == ["ward 3"] and not {"roles", "permissions", "groups"} & set(told)
        answer = until("the sidecar knows the tenant", lambda: (lambda a: a.identity.roles and a)(validated(sidecar, t["access_token"])))
        assert list(answer.identity.roles) == ["doctor", "auditor", "nurse"] and list(answer.identity.permissions) == ["files:read"]


def validated(sidecar, token):
    try:
        return sidecar.validate(token, HOST)
    except grpc.RpcError:
        return rpc.message("clinicwave.token.v1.ValidateResponse")()


@pytest.mark.parametrize("names", [{"roles": "sub"}, {"permissions": "roles"}, {"groups": "email"}, {"roles": "a b"}, {"groups": 'a"b'}, {"roles": "x", "groups": "x"}])
def test_a_claim_of_another_meaning_is_refused(start, names):
    with pytest.raises(AssertionError, match="claims"):
        start(claims=names)


def test_a_tenant_that_is_deleted_takes_its_groups_and_waiting_logins_along(authsvc, admin):
    admin.create(mfa="required")
    admin.user("acme", ANNA)
    put(admin, "ward", ["nurse"], tenant="acme")
    admin.stub.AddGroupMember(tenant="acme", group="ward", username=ANNA)
    assert Rest(authsvc).login(domain="acme.localhost").reason == "mfa_required"
    admin.stub.DisableTenant(name="acme")
    admin.stub.DeleteTenant(name="acme")
    admin.create()
    assert not admin.stub.ListGroups(tenant="acme").groups and not admin.stub.ListUsers(tenant="acme").users


# --- AdminService and accounts -------------------------------------------------------------


def test_an_administrator_issues_a_code_and_the_user_redeems_it(authsvc, admin, door):
    code = admin.stub.IssuePasswordReset(tenant="clinicwave", username=ANNA.upper(), life_seconds=60).code.decode()
    assert door.password_reset(code, NEW).reason is None
    assert door.login(password=NEW).reason is None
    for life in (-1, 59, 8 * 24 * 3600, 1 << 62):
        assert refused(lambda: admin.stub.IssuePasswordReset(tenant="clinicwave", username=ANNA, life_seconds=life))[0] == "request_malformed"
    log = authsvc.process.log()
    assert "user-reset-code-issued" in log and code not in log


def test_an_administrator_expires_a_password(authsvc, admin, door):
    t = door.login().tokens
    admin.stub.ExpirePassword(tenant="clinicwave", username=ANNA)
    assert door.login().reason == "password_expired"
    assert door.refresh(t["refresh_token"]).reason == "refresh_invalid"
    assert door.password_change(PASSWORD, NEW, username=ANNA).reason is None
    assert door.login(password=NEW).reason is None


def test_an_administrator_takes_second_factors_away(authsvc, admin, door):
    token = door.login().tokens["access_token"]
    app = Totp(door.totp_start(token, PASSWORD).tokens["secret"])
    assert door.totp_confirm(token, app.code()).reason is None
    assert door.login().reason == "mfa_required"
    admin.stub.ResetMfa(tenant="clinicwave", username=ANNA)
    assert door.login().reason is None


def test_the_rules_for_passwords_hold_for_administrators(admin):
    assert refused(lambda: admin.user("clinicwave", "bob", password="bob"))[0] == "password_too_short"
    assert refused(lambda: admin.stub.SetPassword(tenant="clinicwave", username=ANNA, password=b"passwordpassword"))[0] == "password_too_common"


def test_strangers_administer_nothing(authsvc):
    token = Rest(authsvc).login().tokens["access_token"]  # the tenant names no role whose bearers administer
    stub, metadata = authsvc.stub(ADMIN), [("authorization", f"Bearer {token}")]
    for call in (lambda: stub.PutGroup(tenant="clinicwave", metadata=metadata), lambda: stub.ListGroups(tenant="clinicwave", metadata=metadata),
                 lambda: stub.AddGroupMember(tenant="clinicwave", group="g", username=ANNA, metadata=metadata),
                 lambda: stub.IssuePasswordReset(tenant="clinicwave", username=ANNA, metadata=metadata),
                 lambda: stub.ExpirePassword(tenant="clinicwave", username=ANNA, metadata=metadata),
                 lambda: stub.ResetMfa(tenant="clinicwave", username=ANNA, metadata=metadata)):
        assert refused(call)[0] in ("subject_forbidden", "request_malformed")
