"""AdminService: users, sessions, revocation, and who may call it."""
import os
import stat
import subprocess

import pytest

from tests.e2e.authsvc.administration import ADMIN, Admin, refused, settings
from tests.e2e.authsvc.doors import ANNA, Grpc, Rest
from tests.support import rpc

BOB = "bob@clinicwave.com"


@pytest.fixture
def authsvc(start):
    return start(**{"admin-role": "auditor"})  # anna is one


@pytest.fixture
def admin(authsvc):
    return Admin(authsvc)


def managed(**fields):
    return rpc.message("clinicwave.identity.v1.ManagedUser")(**fields)


def test_users_are_added_shown_changed_and_listed(authsvc, admin):
    user = admin.user("clinicwave", " Bob@ClinicWave.com ", name="Bob", roles=["nurse"], permissions=["files:read"])
    assert (user.username, list(user.roles), user.disabled) == (BOB, ["nurse"], False) and len(user.subject) == 32
    assert admin.stub.GetUser(tenant="clinicwave", username=BOB).user == user
    assert refused(lambda: admin.user("clinicwave", BOB)) == ("conflict", "there is a user of this name already")
    changed = admin.stub.UpdateUser(tenant="clinicwave", user=managed(username=BOB, roles=["doctor", "chief"], email="b@b.com", name="ignored"),
                                    fields=["roles", "email"]).user
    assert (changed.name, changed.email, list(changed.roles), list(changed.permissions)) == ("Bob", "b@b.com", ["doctor", "chief"], ["files:read"])
    for door in (Rest(authsvc), Grpc(authsvc)):
        claims = door.userinfo(door.login(BOB).tokens["access_token"]).tokens
        assert claims["roles"] == ["doctor", "chief"] and claims["email"] == "b@b.com"
    assert [u.username for u in admin.stub.ListUsers(tenant="clinicwave").users] == [ANNA, BOB]
    page = admin.stub.ListUsers(tenant="clinicwave", page_size=1)
    assert [u.username for u in page.users] == [ANNA]
    assert [u.username for u in admin.stub.ListUsers(tenant="clinicwave", page_size=1, page_token=page.next_page_token).users] == [BOB]
    assert not admin.stub.ListUsers(tenant="other").users


@pytest.mark.parametrize("fields, reason", [({"username": ""}, "request_malformed"), ({"username": "a\x07b"}, "request_malformed"),
                                            ({"roles": ["a,b"]}, "request_malformed"), ({"roles": [""]}, "request_malformed"),
                                            ({"password": ""}, "request_malformed"), ({"password": "x" * 1025}, "request_malformed"),
                                            ({"tenant": "nobody"}, "not_found")])
def test_what_cannot_be_a_user_is_refused(admin, fields, reason):
    wanted = {"tenant": "clinicwave", "username": BOB, **fields}
    assert refused(lambda: admin.user(**wanted))[0] == reason
    assert [u.username for u in admin.stub.ListUsers(tenant="clinicwave").users] == [ANNA]


def test_unknown_users_are_not_found(admin):
    for call in (lambda: admin.stub.GetUser(tenant="clinicwave", username=BOB), lambda: admin.stub.DisableUser(tenant="clinicwave", username=BOB),
                 lambda: admin.stub.SetPassword(tenant="clinicwave", username=BOB, password=b"something long enough"),
                 lambda: admin.stub.UpdateUser(tenant="clinicwave", user=managed(username=BOB), fields=["name"]),
                 lambda: admin.stub.ListUserSessions(tenant="clinicwave", username=BOB)):
        assert refused(call)[0] == "not_found"


def test_a_disabled_user_is_out_and_an_enabled_one_logs_in_anew(authsvc, admin):
    for door in (Rest(authsvc), Grpc(authsvc)):
        tokens = door.login().tokens
        admin.stub.DisableUser(tenant="clinicwave", username=ANNA)
        assert door.login().reason == "account_blocked" and door.login(password="wrong").reason == "credentials_invalid"
        assert door.refresh(tokens["refresh_token"]).reason == "refresh_invalid"
        admin.stub.EnableUser(tenant="clinicwave", username=ANNA)
        assert door.refresh(tokens["refresh_token"]).reason == "refresh_invalid"
        assert door.login().reason is None


def test_a_set_password_counts_and_ends_the_sessions(authsvc, admin):
    door = Rest(authsvc)
    tokens = door.login().tokens
    admin.stub.SetPassword(tenant="clinicwave", username=ANNA, password=b"a wholly new one")
    assert door.login().reason == "credentials_invalid" and door.login(password="a wholly new one").reason is None
    assert door.refresh(tokens["refresh_token"]).reason == "refresh_invalid"


def test_sessions_are_listed_and_ended(authsvc, admin):
    door = Rest(authsvc)
    first, second = door.login().tokens, door.login().tokens
    sessions = admin.stub.ListUserSessions(tenant="clinicwave", username=ANNA).sessions
    assert {s.session_id for s in sessions} == {first["session_id"], second["session_id"]} and sessions[0].client_id == "portal"
    assert admin.stub.Revoke(tenant="clinicwave", session_id=first["session_id"]).sessions_ended == 1
    assert refused(lambda: admin.stub.Revoke(tenant="clinicwave", session_id=first["session_id"]))[0] == "not_found"
    assert refused(lambda: admin.stub.Revoke(tenant="other", session_id=second["session_id"]))[0] == "not_found"
    assert door.refresh(first["refresh_token"]).reason == "refresh_invalid" and door.refresh(second["refresh_token"]).reason is None


def test_revoking_a_subject_or_a_tenant_ends_its_sessions_and_no_others(authsvc, admin):
    bob = admin.user("clinicwave", BOB)
    admin.user("other", ANNA)
    door = Rest(authsvc)
    anna, bobs, others = door.login().tokens, door.login(BOB).tokens, door.login(domain="other.localhost").tokens
    assert admin.stub.Revoke(tenant="clinicwave", subject=bob.subject).sessions_ended == 1
    assert door.userinfo(bobs["access_token"]).reason == "token_revoked" and door.userinfo(anna["access_token"]).reason is None
    assert admin.stub.Revoke(tenant="clinicwave", all=True).sessions_ended == 1
    assert door.userinfo(anna["access_token"]).reason == "token_revoked"
    assert door.userinfo(others["access_token"], domain="other.localhost").reason is None
    assert door.login(BOB).reason is None
    for bad in ({}, {"all": False}, {"subject": ""}, {"token_id": "x" * 2000}):
        assert refused(lambda: admin.stub.Revoke(tenant="clinicwave", **bad))[0] == "request_malformed"


def test_keys_are_listed_without_their_private_part(admin):
    key, = admin.stub.ListSigningKeys(tenant="other").keys
    assert (key.algorithm, key.state) == ("ES256", "active") and len(key.key_id) == 43


# --- who may ---


def with_token(authsvc, token):
    stub = authsvc.stub(ADMIN)
    return stub, [("authorization", f"Bearer {token}")] if token is not None else None


def test_an_administrators_token_reaches_the_own_tenants_users_only(authsvc, admin):
    admin.user("clinicwave", BOB)
    admin.user("other", ANNA, roles=["auditor"])
    stub, metadata = with_token(authsvc, Rest(authsvc).login().tokens["access_token"])
    assert [u.username for u in stub.ListUsers(tenant="clinicwave", metadata=metadata).users] == [ANNA, BOB]
    stub.DisableUser(tenant="clinicwave", username=BOB, metadata=metadata)
    assert stub.GetTenant(name="clinicwave", metadata=metadata).tenant.name == "clinicwave"
    for call in (lambda: stub.ListUsers(tenant="other", metadata=metadata), lambda: stub.ListUsers(tenant="", metadata=metadata),
                 lambda: stub.Revoke(tenant="other", all=True, metadata=metadata), lambda: stub.GetTenant(name="other", metadata=metadata),
                 lambda: stub.ListTenants(metadata=metadata), lambda: stub.DisableTenant(name="clinicwave", metadata=metadata),
                 lambda: stub.CreateTenant(name="new", metadata=metadata), lambda: stub.DeleteTenant(name="clinicwave", metadata=metadata),
                 lambda: stub.UpdateTenant(name="clinicwave", settings=settings({"admin-role": "x"}), metadata=metadata),
                 lambda: stub.ListUsers(tenant="nobody", metadata=metadata)):
        assert refused(call)[0] == "subject_forbidden"
    assert '"user-disabled"' in authsvc.process.log() and "administration-refused" in authsvc.process.log()


def test_other_tokens_reach_nothing(authsvc, admin):
    admin.user("clinicwave", BOB, roles=["nurse"])
    admin.user("other", ANNA, roles=["auditor"])  # other has no admin-role
    door = Rest(authsvc)
    logged_out = door.login().tokens
    door.logout(refresh_token=logged_out["refresh_token"])
    cases = [(None, "token_missing"), ("", "token_missing"), ("garbage", "token_malformed"), (door.login(BOB).tokens["access_token"], "subject_forbidden"),
             (door.login().tokens["id_token"], "type_mismatch"), (logged_out["access_token"], "token_revoked")]
    for token, reason in cases:
        stub, metadata = with_token(authsvc, token)
        assert refused(lambda: stub.ListUsers(tenant="clinicwave", metadata=metadata))[0] == reason
    stub, metadata = with_token(authsvc, door.login(domain="other.localhost").tokens["access_token"])
    assert refused(lambda: stub.ListUsers(tenant="other", metadata=metadata))[0] == "subject_forbidden"


def test_the_administrators_socket_is_for_root_and_the_own_user(authsvc, admin, directory):
    assert admin.stub.ListTenants().tenants
    assert stat.S_IMODE(authsvc.admin_socket.stat().st_mode) & 0o007 == 0
    if os.geteuid() == 0:  # another user who can open it all the same
        os.chmod(directory, 0o755)
        os.chmod(authsvc.admin_socket, 0o666)
        r = subprocess.run(["/usr/bin/python3", "-c", STRANGER, authsvc.admin_socket], user="nobody", capture_output=True, text=True, timeout=60)
        assert r.stdout == "StatusCode.PERMISSION_DENIED", r.stdout + r.stderr


# ListTenants without a message's fields is an empty message.
STRANGER = """
import sys, grpc
channel = grpc.insecure_channel("unix:" + sys.argv[1], options=[("grpc.default_authority", "localhost")])
try:
    channel.unary_unary("/clinicwave.identity.v1.AdminService/ListTenants")(b"", timeout=20)
except grpc.RpcError as e:
    print(e.code(), end="")
"""
