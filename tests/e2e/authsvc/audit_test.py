"""The audit trail: what happened to whom, from where and by whom, as members of ECS lines; over both doors."""
import hashlib
import json
import os

import pytest

from tests.e2e.authsvc.administration import ADMIN, Admin, refused
from tests.e2e.authsvc.doors import ANNA, DOORS, PASSWORD, Rest, Totp
from tests.support.programs import until

FROM = "198.51.100.7"
TYPED = "my password, in the wrong field"
LIMITS = {"throttle": {"account": {"burst": 2, "per-minute": 1}, "mfa": {"burst": 100, "per-minute": 1}}}


@pytest.fixture
def authsvc(start):
    return start(**{"admin-role": "auditor", "authsvc": LIMITS})  # anna is one


@pytest.fixture(params=sorted(DOORS))
def door(request, authsvc):
    return DOORS[request.param](authsvc)


def told(authsvc, action):
    return [line for line in map(json.loads, authsvc.process.log().splitlines()) if line.get("event.action") == action]


def digest(name):
    return hashlib.sha256(name.encode()).hexdigest()[:8]


def assert_members(line, **members):
    members = {k.replace("__", "."): v for k, v in members.items()}
    assert {k: line.get(k) for k in members} == members, line


def test_a_login_and_a_logout(authsvc, door):
    t = door.login(address=FROM, client="mobile").tokens
    subject = door.userinfo(t["access_token"]).tokens["sub"]
    line, = told(authsvc, "login-succeeded")
    assert_members(line, event__outcome="success", error__code="ok", organization__name="clinicwave", user__id=subject, user__hash=digest(ANNA),
                   source__address=FROM, clinicwave__client="mobile", clinicwave__session=t["session_id"], event__category=["authentication"])
    assert not told(authsvc, "session-ended")
    assert door.logout(refresh_token=t["refresh_token"]).reason is None
    line, = told(authsvc, "session-ended")
    assert_members(line, event__outcome="success", organization__name="clinicwave", user__id=subject, clinicwave__session=t["session_id"])


def test_failed_and_throttled_logins(authsvc, door):
    for address in (FROM, f"::ffff:{FROM}"):  # one spelling in the log
        assert door.login(TYPED, PASSWORD, address=address).reason == "credentials_invalid"
    assert door.login(TYPED, PASSWORD, address=FROM).reason == "throttled"
    failed, throttled = told(authsvc, "login-failed"), told(authsvc, "login-throttled")
    assert len(failed) == 2 and len(throttled) == 1
    for line, reason in [(failed[0], "credentials_invalid"), (failed[1], "credentials_invalid"), (throttled[0], "throttled")]:
        assert_members(line, event__outcome="failure", error__code=reason, organization__name="clinicwave", user__hash=digest(TYPED), source__address=FROM,
                       clinicwave__client="portal")
        assert not line.get("user.id") and not line.get("clinicwave.session")
    assert TYPED not in authsvc.process.log() and TYPED.split(",")[0] not in authsvc.process.log()
    subject = door.userinfo(door.login().tokens["access_token"]).tokens["sub"]
    assert door.login(password="wrong", address=FROM).reason == "credentials_invalid"
    assert_members(told(authsvc, "login-failed")[-1], user__id=subject, user__hash=digest(ANNA), source__address=FROM)


def test_second_factors(authsvc, door):
    t = door.login().tokens
    subject = door.userinfo(t["access_token"]).tokens["sub"]
    app = Totp(door.totp_start(t["access_token"], PASSWORD).tokens["secret"])
    assert door.totp_confirm(t["access_token"], app.code()).reason is None
    assert_members(told(authsvc, "account-changed")[-1], event__outcome="success", organization__name="clinicwave", user__id=subject)
    asked = door.login(address=FROM)
    assert asked.reason == "mfa_required"
    assert_members(told(authsvc, "login-mfa-required")[-1], organization__name="clinicwave", user__id=subject, source__address=FROM)
    assert door.mfa_verify(asked.mfa_token, otp=app.wrong(), address=FROM).reason == "mfa_invalid"
    line, = told(authsvc, "login-mfa-failed")
    assert_members(line, event__outcome="failure", error__code="mfa_invalid", organization__name="clinicwave", user__id=subject, source__address=FROM)
    done = door.mfa_verify(asked.mfa_token, otp=app.code(), address=FROM).tokens
    line, = told(authsvc, "login-mfa-succeeded")
    assert_members(line, event__outcome="success", error__code="ok", user__id=subject, clinicwave__session=done["session_id"], source__address=FROM)


def test_a_stolen_refresh_token(authsvc, door):
    first = door.login().tokens
    subject = door.userinfo(first["access_token"]).tokens["sub"]
    second = door.refresh(first["refresh_token"]).tokens
    door.refresh(second["refresh_token"])
    assert door.refresh(first["refresh_token"]).reason == "refresh_invalid"
    line, = told(authsvc, "refresh-token-reused")
    assert_members(line, event__outcome="failure", organization__name="clinicwave", user__id=subject, clinicwave__session=first["session_id"])


def test_administrators(authsvc):
    root, door = Admin(authsvc), Rest(authsvc)
    root.user("clinicwave", "bob@clinicwave.com")
    line = told(authsvc, "administered")[-1]
    assert_members(line, event__outcome="success", clinicwave__action="user-created", organization__name="clinicwave", user__target__name="bob@clinicwave.com",
                   user__effective__id=os.geteuid(), event__category=["iam"])
    assert not line.get("user.id")
    token = door.login().tokens["access_token"]
    subject = door.userinfo(token).tokens["sub"]
    anna, metadata = authsvc.stub(ADMIN), [("authorization", f"Bearer {token}")]
    anna.DisableUser(tenant="clinicwave", username="bob@clinicwave.com", metadata=metadata)
    assert_members(told(authsvc, "administered")[-1], event__outcome="success", clinicwave__action="user-disabled", organization__name="clinicwave",
                   user__target__name="bob@clinicwave.com", user__id=subject)
    assert refused(lambda: anna.DisableTenant(name="clinicwave", metadata=metadata))[0] == "subject_forbidden"
    assert_members(told(authsvc, "administration-refused")[-1], event__outcome="failure", error__code="subject_forbidden",
                   clinicwave__action="tenant-disabled", organization__name="clinicwave", user__id=subject)

    def strangers():  # the line is rate-limited
        assert refused(lambda: anna.DisableUser(tenant="other", username="eve@other.com", metadata=metadata))[0] == "subject_forbidden"
        return next((x for x in told(authsvc, "administration-refused") if x["organization.name"] == "other"), None)
    assert_members(until("it is told", strangers), event__outcome="failure", error__code="subject_forbidden", clinicwave__action="user-disabled",
                   organization__name="other", user__target__name="eve@other.com", user__id="")  # nobody of that tenant
    assert token not in authsvc.process.log()
