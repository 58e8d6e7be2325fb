"""Second factors, over both doors: enrolment, the second step of a login, recovery, and what happens to who guesses."""
import concurrent.futures

import pytest

from tests.e2e.authsvc.doors import ANNA, DOORS, HOST, PASSWORD, Rest, Totp, document
from tests.e2e.authsvc.login_test import claims
from tests.support import rpc
from tests.support.stack import Authsvc

MANY = {"throttle": {"mfa": {"burst": 100, "per-minute": 1}}}


def enrol(door, username=ANNA):
    """The user has TOTP: the app and the recovery codes."""
    token = door.login(username=username).tokens["access_token"]
    started = door.totp_start(token, PASSWORD)
    assert started.reason is None, started
    app = Totp(started.tokens["secret"])
    confirmed = door.totp_confirm(token, app.code())
    assert confirmed.reason is None, confirmed
    return app, confirmed.tokens["recovery_codes"]


def asked(door, **kwargs):
    outcome = door.login(**kwargs)
    assert outcome.reason == "mfa_required" and outcome.tokens is None, outcome
    return outcome


def test_a_login_goes_on_with_the_code_of_the_app(door, authsvc):
    app, codes = enrol(door)
    first = asked(door)
    assert first.methods == ["otp", "recovery_code"] and len(first.mfa_token) > 40
    assert door.mfa_challenge(first.mfa_token).tokens == {"challenge_type": "otp"}
    done = door.mfa_verify(first.mfa_token, otp=app.code())
    assert done.reason is None, done
    assert set(done.tokens) == {"access_token", "id_token", "refresh_token", "token_type", "expires_in", "expires_at", "refresh_expires_in",
                                "scope", "session_id"}
    assert claims(authsvc, done.tokens["id_token"])[1]["amr"] == ["pwd", "otp", "mfa"]
    again = door.refresh(done.tokens["refresh_token"])
    assert claims(authsvc, again.tokens["id_token"])[1]["amr"] == ["pwd", "otp", "mfa"]
    assert door.userinfo(done.tokens["access_token"]).reason is None
    log = authsvc.process.log()
    assert all(e in log for e in ('"account-changed"', '"login-mfa-required"', '"login-mfa-succeeded"'))
    assert first.mfa_token[4:] not in log and not any(c in log for c in codes)


def test_without_a_second_factor_nothing_changes(door, authsvc):
    t = door.login().tokens
    assert claims(authsvc, t["id_token"])[1]["amr"] == ["pwd"]
    assert door.mfa(t["access_token"]).tokens == {"policy": "optional", "totp": False, "recovery_codes": 0}
    assert door.login(otp="123456").reason is None  # there is none to be wrong


def test_the_code_may_come_with_the_first_request(door):
    app, _ = enrol(door)
    assert door.login(otp=app.wrong()).reason == "mfa_invalid"
    code = app.code()
    assert door.login(password="wrong", otp=code).reason == "credentials_invalid"  # and the code is not used up
    assert door.login(otp=code).reason is None
    assert door.login(otp=code).reason == "mfa_invalid"  # once


def test_a_code_counts_once_even_for_many_at_once(door):
    app, _ = enrol(door)
    tokens = [asked(door).mfa_token for _ in range(6)]
    code = app.code()
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        reasons = list(pool.map(lambda t: door.mfa_verify(t, otp=code).reason, tokens))
    assert reasons.count(None) == 1 and reasons.count("mfa_invalid") == 5, reasons


def test_an_mfa_token_counts_once(door):
    app, codes = enrol(door)
    token = asked(door).mfa_token
    assert door.mfa_verify(token, otp=app.code()).reason is None
    assert door.mfa_verify(token, recovery_code=codes[0]).reason == "mfa_token_invalid"
    assert door.mfa_challenge(token).reason == "mfa_token_invalid"


@pytest.mark.parametrize("name", sorted(DOORS))
def test_an_mfa_token_can_be_tried_five_times(start, name):
    door = DOORS[name](start(authsvc=MANY))
    app, codes = enrol(door)
    token = asked(door).mfa_token
    assert [door.mfa_verify(token, otp=app.wrong()).reason for _ in range(6)] == ["mfa_invalid"] * 5 + ["mfa_token_invalid"]
    assert door.mfa_verify(token, recovery_code=codes[0]).reason == "mfa_token_invalid"
    token = asked(door).mfa_token  # many at once are no more
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        reasons = list(pool.map(lambda _: door.mfa_verify(token, otp=app.wrong()).reason, range(12)))
    assert reasons.count("mfa_invalid") == 5 and reasons.count("mfa_token_invalid") == 7
    token = asked(door).mfa_token
    assert [door.mfa_challenge(token).reason for _ in range(6)] == [None] * 5 + ["mfa_token_invalid"]


def test_what_is_no_mfa_token_of_this_tenant_and_client_is_refused(door):
    app, _ = enrol(door)
    token = asked(door).mfa_token
    for bad in ("", "x", "cwm_" + "A" * 43, "cwm_" + "A" * 43 + "A", token[:-1], token + "A", token.swapcase()):
        expected = ("mfa_token_invalid", "request_malformed") if not bad else ("mfa_token_invalid",)
        assert door.mfa_verify(bad, otp="123456").reason in expected, bad
    assert door.mfa_verify(token, otp="123456", domain="other.localhost").reason == "mfa_token_invalid"
    assert door.mfa_verify(token, otp="123456", domain="unknown.localhost").reason == "tenant_unknown"
    token = asked(door).mfa_token
    assert door.mfa_verify(token, otp=app.wrong(), client="mobile").reason == "mfa_token_invalid"
    assert door.mfa_verify(asked(door, client="mobile").mfa_token, otp=app.code(), client="mobile").reason is None


def test_one_proof_and_only_one(door):
    app, codes = enrol(door)
    token = asked(door).mfa_token
    assert door.mfa_verify(token).reason == "request_malformed"
    assert door.mfa_verify(token, otp="123456", recovery_code=codes[0]).reason == "request_malformed"
    assert door.mfa_verify(token, binding_code="1", otp="123456").reason == "request_malformed"
    assert door.mfa_verify(token, oob_code="x", binding_code="1").reason == "mfa_method_unsupported"
    assert door.mfa_challenge(token, challenge_type="oob").reason == "mfa_method_unsupported"
    assert door.mfa_challenge(token, challenge_type="otp oob").reason is None
    assert door.mfa_verify(token, otp=app.code()).reason is None


def test_each_recovery_code_counts_once(door):
    app, codes = enrol(door)
    assert len(set(codes)) == 10 and all(len(c) == 19 for c in codes)
    assert door.mfa_verify(asked(door).mfa_token, recovery_code=codes[3].lower().replace("-", " ")).reason is None
    assert door.mfa_verify(asked(door).mfa_token, recovery_code=codes[3]).reason == "mfa_invalid"
    done = door.mfa_verify(asked(door).mfa_token, recovery_code=codes[4])
    assert door.mfa(done.tokens["access_token"]).tokens == {"policy": "optional", "totp": True, "recovery_codes": 8}
    renewed = door.recovery_codes(done.tokens["access_token"], app.code())
    assert renewed.reason is None and not set(renewed.tokens["recovery_codes"]) & set(codes)
    assert door.mfa_verify(asked(door).mfa_token, recovery_code=codes[5]).reason == "mfa_invalid"
    assert door.mfa_verify(asked(door).mfa_token, recovery_code=renewed.tokens["recovery_codes"][0]).reason is None


def test_enrolment_takes_the_password_and_a_first_code(door):
    token = door.login().tokens["access_token"]
    assert door.totp_start(None, PASSWORD).reason == "token_missing"
    assert door.totp_start(token, "wrong").reason == "credentials_invalid"
    assert door.totp_confirm(token, "123456").reason == "not_found"
    first = door.totp_start(token, PASSWORD).tokens
    assert first["otpauth_url"].startswith("otpauth://totp/clinicwave:anna%40clinicwave.com?secret=" + first["secret"])
    second = door.totp_start(token, PASSWORD).tokens  # the app did not get it: another one
    assert door.totp_confirm(token, Totp(first["secret"]).code()).reason == "mfa_invalid"
    assert door.login().reason is None  # not in use before it is confirmed
    app = Totp(second["secret"])
    assert door.totp_confirm(token, app.code()).reason is None
    assert door.totp_confirm(token, app.code()).reason == "conflict"
    assert door.totp_start(token, PASSWORD).reason == "conflict"


def test_removal_takes_both_factors(door):
    app, codes = enrol(door)
    token = door.mfa_verify(asked(door).mfa_token, recovery_code=codes[0]).tokens["access_token"]
    assert door.totp_remove(token, PASSWORD, otp=app.wrong()).reason == "mfa_invalid"
    assert door.totp_remove(token, "wrong", recovery_code=codes[1]).reason == "credentials_invalid"
    assert door.totp_remove(token, PASSWORD).reason == "request_malformed"
    assert door.totp_remove(token, PASSWORD, recovery_code=codes[1]).reason is None
    assert door.login().reason is None
    assert door.totp_remove(token, PASSWORD, recovery_code=codes[2]).reason == "not_found"


def test_guessing_codes_is_slowed_down_wherever_it_comes_from(start):
    authsvc = start(authsvc={"throttle": {"mfa": {"burst": 4, "per-minute": 1}}})
    door, other = Rest(authsvc), DOORS["grpc"](authsvc)
    app, codes = enrol(door)
    for i in range(4):
        outcome = (door, other)[i % 2].mfa_verify(asked(door).mfa_token, otp=app.wrong(), address=f"198.51.100.{i}")
        assert outcome.reason == "mfa_invalid", outcome
    for d in (door, other):
        outcome = d.mfa_verify(asked(door).mfa_token, recovery_code=codes[0], address="203.0.113.9")  # even a right one: no oracle
        assert outcome.reason == "throttled" and 1 <= outcome.retry_after <= 60
    assert door.login(otp=app.code()).reason == "throttled"


def test_a_right_code_forgets_the_wrong_ones(start):
    door = Rest(start(authsvc={"throttle": {"mfa": {"burst": 3, "per-minute": 1}}}))
    app, codes = enrol(door)
    for code in codes[:2]:
        for _ in range(2):
            assert door.mfa_verify(asked(door).mfa_token, otp=app.wrong()).reason == "mfa_invalid"
        assert door.mfa_verify(asked(door).mfa_token, recovery_code=code).reason is None


@pytest.mark.parametrize("show", [{"oob_code": "x", "binding_code": "1"}, {"otp": "123456", "recovery_code": "x"}], ids=["another kind", "two at once"])
def test_what_is_no_attempt_forgets_no_wrong_one(start, show):
    door = Rest(start(authsvc={"throttle": {"mfa": {"burst": 3, "per-minute": 1}}}))
    app, _ = enrol(door)
    for _ in range(3):
        assert door.mfa_verify(asked(door).mfa_token, otp=app.wrong()).reason == "mfa_invalid"
        assert door.mfa_verify(asked(door).mfa_token, **show).reason in ("mfa_method_unsupported", "request_malformed", "throttled")
    assert door.mfa_verify(asked(door).mfa_token, otp=app.wrong()).reason == "throttled"


FEW = {"throttle": {"mfa": {"burst": 100, "per-minute": 1000}}, "mfa": {"failures-max": 5}}


def block(door, app):
    """Five wrong codes in a row."""
    for i in range(5):
        assert door.mfa_verify(asked(door).mfa_token, otp=app.wrong(), address=f"198.51.100.{i}").reason == "mfa_invalid"


@pytest.mark.parametrize("name", sorted(DOORS))
def test_after_too_many_wrong_codes_in_a_row_none_is_looked_at(start, name):
    """NIST SP 800-63B section 5.2.2: a limit, not only a delay."""
    authsvc = start(authsvc=FEW)
    door = DOORS[name](authsvc)
    app, codes = enrol(door)
    session = door.mfa_verify(asked(door).mfa_token, recovery_code=codes[0]).tokens["access_token"]
    block(door, app)
    code = app.code()
    assert door.mfa_verify(asked(door).mfa_token, otp=code, address="203.0.113.9").reason == "mfa_blocked"
    assert door.login(otp=code).reason == "mfa_blocked"
    assert door.login(password="wrong", otp=code).reason == "credentials_invalid"  # told to nobody else
    assert door.totp_remove(session, PASSWORD, otp=code).reason == "mfa_blocked"
    assert door.recovery_codes(session, code).reason == "mfa_blocked"
    authsvc.stop()
    authsvc.start()  # nor is it forgotten
    door = DOORS[name](authsvc)
    assert door.mfa_verify(asked(door).mfa_token, otp=code).reason == "mfa_blocked"
    assert door.mfa_verify(asked(door).mfa_token, recovery_code=codes[0]).reason == "mfa_invalid"  # used before: lifts nothing
    assert door.mfa_verify(asked(door).mfa_token, otp=code).reason == "mfa_blocked"
    assert door.mfa_verify(asked(door).mfa_token, recovery_code=codes[1]).reason is None
    assert door.mfa_verify(asked(door).mfa_token, otp=app.code()).reason is None


def test_an_administrator_lifts_it(start):
    authsvc = start(authsvc=FEW)
    app, _ = enrol(Rest(authsvc))
    block(Rest(authsvc), app)
    assert Rest(authsvc).mfa_verify(asked(Rest(authsvc)).mfa_token, otp=app.code()).reason == "mfa_blocked"
    authsvc.stop()
    assert authsvc.user("reset-mfa", "clinicwave", ANNA).returncode == 0
    door = Rest(authsvc.start())
    app, _ = enrol(door)
    assert door.mfa_verify(asked(door).mfa_token, otp=app.wrong()).reason == "mfa_invalid"
    assert door.mfa_verify(asked(door).mfa_token, otp=app.code()).reason is None


def test_only_wrong_codes_in_a_row_count(start):
    door = Rest(start(authsvc=FEW))
    app, _ = enrol(door)
    for _ in range(2):
        for _ in range(4):
            assert door.mfa_verify(asked(door).mfa_token, otp=app.wrong()).reason == "mfa_invalid"
        assert door.mfa_verify(asked(door).mfa_token, otp=app.code()).reason is None


def test_many_wrong_codes_at_once_are_no_more(start):
    door = Rest(start(authsvc=FEW))
    app, codes = enrol(door)
    tokens = [asked(door).mfa_token for _ in range(12)]
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        reasons = list(pool.map(lambda t: door.mfa_verify(t, otp=app.wrong()).reason, tokens))
    assert reasons.count("mfa_invalid") == 5 and reasons.count("mfa_blocked") == 7, reasons


def test_a_tenant_may_require_it_and_who_has_none_enrols_at_login(start):
    authsvc = start(mfa="required")
    for name, d in sorted(DOORS.items()):
        door = d(authsvc)
        first = asked(door)
        assert first.methods == ["enrol"]
        assert door.mfa_verify(first.mfa_token, otp="123456").reason == "mfa_method_unsupported"  # nothing started yet
        app = Totp(door.totp_start(mfa_token=first.mfa_token).tokens["secret"])
        assert door.mfa_verify(first.mfa_token, otp=app.wrong()).reason == "mfa_invalid"
        done = door.mfa_verify(first.mfa_token, otp=app.code())
        assert done.reason is None, done
        assert asked(door).methods == ["otp"]
        codes = door.recovery_codes(done.tokens["access_token"], app.code()).tokens["recovery_codes"]
        assert asked(door).methods == ["otp", "recovery_code"]
        assert door.totp_remove(done.tokens["access_token"], PASSWORD, recovery_code=codes[0]).reason == "mfa_not_offered"
        assert door.totp_start(mfa_token=asked(door).mfa_token).reason == "mfa_method_unsupported"
        authsvc.stop()
        reset = authsvc.user("reset-mfa", "clinicwave", ANNA)
        assert reset.returncode == 0, reset.stderr
        authsvc.start()


def test_a_tenant_may_have_none(start):
    door = Rest(start(mfa="off"))
    token = door.login().tokens["access_token"]
    assert door.totp_start(token, PASSWORD).reason == "mfa_not_offered"
    assert door.mfa(token).tokens["policy"] == "off"


def test_an_administrator_takes_it_away(authsvc):
    enrol(Rest(authsvc))
    authsvc.stop()
    assert authsvc.user("reset-mfa", "clinicwave", ANNA).returncode == 0
    nobody = authsvc.user("reset-mfa", "clinicwave", "nobody@clinicwave.com")
    assert nobody.returncode == 1 and "not_found" in nobody.stderr
    authsvc.start()
    assert Rest(authsvc).login().reason is None


def test_a_disabled_user_does_not_get_in_by_the_second_step(authsvc):
    door = Rest(authsvc)
    _, codes = enrol(door)
    token = asked(door).mfa_token
    authsvc.stop()
    assert authsvc.user("disable", "clinicwave", ANNA).returncode == 0
    authsvc.start()
    assert Rest(authsvc).mfa_verify(token, recovery_code=codes[0]).reason == "account_blocked"


def test_what_the_database_holds_opens_nothing(authsvc):
    door = Rest(authsvc)
    token = door.login().tokens["access_token"]
    secret = door.totp_start(token, PASSWORD).tokens["secret"]
    app = Totp(secret)
    codes = door.totp_confirm(token, app.code()).tokens["recovery_codes"]
    mfa_token = asked(door).mfa_token
    authsvc.stop()
    rows = b"".join(p.read_bytes() for p in (authsvc.directory / "state").glob("authsvc.db*"))
    assert app.key not in rows and secret.encode() not in rows and mfa_token.encode() not in rows
    assert not any(c.encode() in rows or c.replace("-", "").encode() in rows for c in codes)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One authsvc for what changes nothing: its REST door and anna's access token."""
    directory = tmp_path_factory.mktemp("mfa")
    authsvc = Authsvc(directory, document()).add_user("clinicwave", ANNA, PASSWORD).start()
    door = Rest(authsvc)
    yield door, door.login().tokens["access_token"]
    authsvc.stop()


@pytest.mark.parametrize("path", ["mfa/challenge", "mfa/verify", "mfa/totp", "mfa/totp/confirm", "mfa/totp/remove", "mfa/recovery-codes"])
@pytest.mark.parametrize("body", [
    b"", b"[]", b'{"mfa_token":1}', b'{"mfa_token":"a","mfa_token":"b","otp":"1","password":"x"}', b'{"otp":"1","otp":"2"}',
    b'{"mfa_token":"\xff","otp":"1","password":"x"}', b'{"otp":["1"],"mfa_token":["x"],"password":1}', b'{"otp":"' + b"1" * 65 + b'","client_id":7,"password":null}',
    b'{"password":"' + b"x" * 1025 + b'","otp":1,"mfa_token":7}'], ids=lambda b: repr(b[:40]))
def test_a_malformed_body_is_malformed(shared, path, body):
    door, token = shared
    answer = door.post(f"/auth/v1/{path}", body, Authorization=f"Bearer {token}")
    assert answer.status_code == 400 and door.outcome(answer).reason == "request_malformed"


def test_other_media_types_and_large_bodies_are_refused(shared):
    door, token = shared
    for path in ("mfa/challenge", "mfa/verify", "mfa/totp", "mfa/totp/confirm", "mfa/totp/remove", "mfa/recovery-codes"):
        answer = door.post(f"/auth/v1/{path}", {"otp": "1"}, Content_Type="text/plain", Authorization=f"Bearer {token}")
        assert answer.status_code == 415
        answer = door.post(f"/auth/v1/{path}", {"otp": "1" * 20000}, Authorization=f"Bearer {token}")
        assert answer.status_code == 413
        assert door.client.get(f"/auth/v1/{path}", headers={"Host": HOST}).status_code == 405


@pytest.mark.parametrize("method, fields", [
    ("VerifyMfa", {"otp": b"1" * 65}), ("VerifyMfa", {"recovery_code": b"1" * 65}), ("VerifyMfa", {"oob_code": b"x" * 5000}),
    ("VerifyMfa", {"otp": b"1", "client_id": "x" * 5000}), ("ChallengeMfa", {"challenge_type": "x" * 65}), ("ChallengeMfa", {"authenticator_id": "x" * 5000}),
    ("ConfirmTotp", {"otp": b"1" * 65}), ("RemoveTotp", {"otp": b"1" * 65}), ("RenewRecoveryCodes", {"otp": b"1" * 65}),
    ("StartTotp", {"password": b"\xff"}), ("StartTotp", {"password": b"x" * 1025}), ("StartTotp", {"client_id": "x" * 5000})])
def test_grpc_refuses_the_same(shared, method, fields):
    rest, token = shared
    door = DOORS["grpc"](rest.authsvc)
    request = rpc.message(f"clinicwave.identity.v1.{method}Request")
    given = {k: v for k, v in {"access_token": token.encode(), "mfa_token": b"cwm_" + b"A" * 43}.items() if k in request.DESCRIPTOR.fields_by_name}
    outcome = door.outcome(lambda: getattr(door.stub, method)(domain=HOST, **given, **fields))
    assert outcome.reason == "request_malformed", outcome


def test_second_factors_of_an_idp_tenant_belong_to_its_provider(start):
    authsvc = start(login="idp", idp={"client-id": "gateway", "client-auth": "none"})
    for door in (d(authsvc) for d in DOORS.values()):
        for outcome in (door.mfa("x"), door.totp_start("x", PASSWORD), door.totp_confirm("x", "123456"), door.totp_remove("x", PASSWORD, "123456"),
                        door.recovery_codes("x", "123456")):
            assert outcome.reason == "idp_managed"
