"""Passwords change, over both doors: by their user, when they have expired, by a one-time code; and what nobody learns by it."""
import concurrent.futures
import os

import pytest
import yaml

from tests.e2e.authsvc.doors import ANNA, DOORS, HOST, PASSWORD, Rest, document
from tests.e2e.authsvc.mfa_test import asked, enrol
from tests.support import rpc
from tests.support.stack import Authsvc

NEW = "another one, just as good"
FAR = {"burst": 100, "per-minute": 100000}


def stopped(authsvc, *verbs):
    """Runs `cw-authsvc user VERB` for anna while the service is down; the last one's output."""
    authsvc.stop()
    for verb in verbs:
        done = authsvc.user(verb, "clinicwave", ANNA)
        assert done.returncode == 0, done.stderr
    authsvc.start()
    return done.stdout.strip()


@pytest.fixture(params=sorted(DOORS))
def expired(request, start):
    """A door, and anna's password has expired."""
    authsvc = start()
    stopped(authsvc, "expire-password")
    return DOORS[request.param](authsvc)


def test_a_change_ends_the_other_sessions_and_only_those(door, authsvc):
    other, own = door.login().tokens, door.login().tokens
    assert door.password_change(PASSWORD, NEW, own["access_token"]).reason is None
    assert door.login().reason == "credentials_invalid"
    assert door.login(password=NEW).reason is None
    assert door.refresh(other["refresh_token"]).reason == "refresh_invalid"
    assert door.userinfo(other["access_token"]).reason == "token_revoked"
    assert door.userinfo(own["access_token"]).reason is None
    assert door.refresh(own["refresh_token"]).reason is None
    log = authsvc.process.log()
    assert "password-changed" in log and NEW not in log and PASSWORD not in log


def test_a_change_takes_the_old_password_and_a_good_token(door):
    t = door.login().tokens
    assert door.password_change("wrong", NEW, t["access_token"]).reason == "credentials_invalid"
    assert door.password_change("", NEW, t["access_token"]).reason == "credentials_invalid"
    assert door.password_change(PASSWORD, NEW).reason == "token_missing"
    assert door.password_change(PASSWORD, NEW, t["id_token"]).reason == "type_mismatch"
    assert door.password_change(PASSWORD, NEW, t["access_token"], domain="other.localhost").reason in ("issuer_unknown", "key_unknown")
    assert door.login().reason is None


@pytest.mark.parametrize("new, reason", [
    ("fourteen chars", "password_too_short"), ("", "password_too_short"), ("x y" * 100, "password_too_long"), ("passwordpassword", "password_too_common"),
    ("Clinicwave.com-2026!", "password_too_common"), ("anna@clinicwave.com", "password_too_common"), (PASSWORD, "password_unchanged"),
    ("\uff43\uff4f\uff52\uff52\uff45\uff43\uff54 horse battery staple", "password_unchanged"),  # the same after NFKC
    ("fifteen letters", None), ("\u00e4" * 7 + "bcdefghi", None)])
def test_the_rules_for_new_passwords(door, new, reason):
    token = door.login().tokens["access_token"]
    outcome = door.password_change(PASSWORD, new, token)
    assert outcome.reason == reason
    assert door.login(password=PASSWORD if reason else new).reason is None


def test_a_tenant_sets_the_lengths_and_a_file_adds_to_the_list(start, directory):
    (directory / "words").write_text("our hospital song\n")
    authsvc = start(authsvc={"password": {"memory": "8KiB", "iterations": 1, "blocklist": str(directory / "words")}}, password={"min-length": 8, "max-length": 64})
    for door in (d(authsvc) for d in DOORS.values()):
        token = door.login().tokens["access_token"]
        assert door.password_change(PASSWORD, "7 chars", token).reason == "password_too_short"
        assert door.password_change(PASSWORD, "x y" * 22, token).reason == "password_too_long"
        assert door.password_change(PASSWORD, "Our Hospital Song 1", token).reason == "password_too_common"
        assert door.password_change(PASSWORD, "kq7 vz2m", token).reason is None
        assert door.password_change("kq7 vz2m", PASSWORD, token).reason is None


def test_nothing_of_a_password_is_cut_off(door):
    token = door.login().tokens["access_token"]
    long = "0123456789 " * 20 + "the end counts"
    assert door.password_change(PASSWORD, long, token).reason is None
    assert door.login(password=long[:-1]).reason == "credentials_invalid"
    assert door.login(password=long).reason is None


def test_an_expired_password_is_good_for_a_change_only(expired):
    door = expired
    assert door.login().reason == "password_expired"
    assert door.login(password="wrong").reason == "credentials_invalid"
    assert door.password_change("wrong", NEW, username=ANNA).reason == "credentials_invalid"
    assert door.password_change(PASSWORD, PASSWORD, username=ANNA).reason == "password_unchanged"
    assert door.password_change(PASSWORD, "short", username=ANNA).reason == "password_too_short"
    assert door.password_change(PASSWORD, NEW, username=f" {ANNA.upper()}").reason is None
    assert door.login(password=NEW).reason is None


def test_expiry_ends_the_sessions(authsvc):
    t = Rest(authsvc).login().tokens
    stopped(authsvc, "expire-password")
    assert Rest(authsvc).refresh(t["refresh_token"]).reason == "refresh_invalid"


def test_a_change_by_name_takes_the_second_factor(door):
    app, codes = enrol(door)
    assert door.password_change(PASSWORD, NEW, username=ANNA).reason == "mfa_required"
    assert door.password_change(PASSWORD, NEW, username=ANNA, otp=app.wrong()).reason == "mfa_invalid"
    waits = asked(door).mfa_token
    assert door.password_change(PASSWORD, NEW, username=ANNA, recovery_code=codes[0]).reason is None
    # A login that was half way in with the old password is out.
    assert door.mfa_verify(waits, recovery_code=codes[1]).reason == "mfa_token_invalid"
    assert door.mfa_verify(asked(door, password=NEW).mfa_token, otp=app.code()).reason is None


def test_a_change_by_name_tells_nothing_about_users(door):
    usual = door.password_change("wrong", NEW, username=ANNA)
    for name, old in ((ANNA, ""), ("nobody@clinicwave.com", PASSWORD), ("nobody@clinicwave.com", "")):
        outcome = door.password_change(old, NEW, username=name)
        assert (outcome.reason, outcome.status, outcome.text) == ("credentials_invalid", usual.status, usual.text)
    assert door.password_change("wrong", "x", username="nobody@clinicwave.com").reason == "credentials_invalid"  # rules come later


def test_guessing_at_change_counts_as_guessing_at_login(start):
    authsvc = start(authsvc={"throttle": {"account": {"burst": 4, "per-minute": 1}}})
    rest, grpc = DOORS["rest"](authsvc), DOORS["grpc"](authsvc)
    for i in range(4):
        assert (rest, grpc)[i % 2].password_change("wrong", NEW, username=ANNA, address="198.51.100.1").reason == "credentials_invalid"
    for outcome in (rest.login(address="198.51.100.1"), grpc.password_change(PASSWORD, NEW, username=ANNA, address="198.51.100.1")):
        assert outcome.reason == "throttled" and outcome.retry_after >= 1
    assert rest.login(address="198.51.100.2").reason is None


@pytest.mark.parametrize("name", sorted(DOORS))
def test_a_reset_code_sets_the_password_once(start, name):
    authsvc = start()
    session = DOORS["rest"](authsvc).login().tokens
    old = stopped(authsvc, "reset-password")
    code = stopped(authsvc, "reset-password")  # a newer one replaces it
    door = DOORS[name](authsvc)
    assert len(code) == 19 and code != old
    assert door.password_reset(old, NEW).reason == "reset_invalid"
    assert door.login().reason is None  # nothing has changed yet
    assert door.password_reset(code, "anna@clinicwave.com").reason == "password_too_common"  # and the code is still good
    assert door.password_reset(code, NEW, domain="other.localhost").reason == "reset_invalid"
    assert door.password_reset(code.lower().replace("-", " "), NEW).reason is None
    assert door.password_reset(code, PASSWORD).reason == "reset_invalid"
    assert door.login().reason == "credentials_invalid"
    assert door.login(password=NEW).reason is None
    assert door.refresh(session["refresh_token"]).reason == "refresh_invalid"
    assert "password-reset" in authsvc.process.log() and code not in authsvc.process.log()


def test_a_reset_ends_an_expiry_and_keeps_the_second_factor(authsvc):
    enrol(Rest(authsvc))
    code = stopped(authsvc, "expire-password", "reset-password")
    door = Rest(authsvc)
    assert door.password_reset(code, NEW).reason is None
    assert door.login(password=NEW).reason == "mfa_required"


def test_a_change_makes_reset_codes_void(authsvc):
    code = stopped(authsvc, "reset-password")
    door = Rest(authsvc)
    assert door.password_change(PASSWORD, NEW, door.login().tokens["access_token"]).reason is None
    assert door.password_reset(code, PASSWORD).reason == "reset_invalid"


def test_of_many_at_once_one_redeems_the_code(authsvc):
    code = stopped(authsvc, "reset-password")
    door = Rest(authsvc)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        reasons = list(pool.map(lambda i: door.password_reset(code, f"{NEW} {i}").reason, range(6)))
    assert sorted(reasons, key=str) == [None] + ["reset_invalid"] * 5
    assert door.login(password=f"{NEW} {reasons.index(None)}").reason is None


def test_wrong_codes_are_all_alike_and_slowed_down(start):
    authsvc = start(authsvc={"throttle": {"account": {"burst": 6, "per-minute": 1}}})
    code = stopped(authsvc, "reset-password")
    for door in (d(authsvc) for d in DOORS.values()):
        address = f"198.51.100.{len(door.name)}{'1' if door.name == 'rest' else '2'}"
        outcomes = [door.password_reset(c, NEW, address=address) for c in ("", "x", code[:-1], code + "A", "AAAA-AAAA-AAAA-AAAA", "A" * 64)]
        assert {(o.reason, o.status, o.text) for o in outcomes} == {("reset_invalid", outcomes[0].status, outcomes[0].text)}
        outcome = door.password_reset(code, NEW, address=address)
        assert outcome.reason == "throttled" and outcome.retry_after >= 1
    assert Rest(authsvc).password_reset(code, NEW, address="203.0.113.1").reason is None


def test_the_code_is_not_in_the_database(authsvc):
    code = stopped(authsvc, "reset-password")
    authsvc.stop()
    rows = b"".join(p.read_bytes() for p in (authsvc.directory / "state").glob("authsvc.db*"))
    assert code.encode() not in rows and code.replace("-", "").encode() not in rows


def test_passwords_of_an_idp_tenant_belong_to_its_provider(start):
    authsvc = start(login="idp", idp={"client-id": "gateway", "client-auth": "none"})
    for door in (d(authsvc) for d in DOORS.values()):
        for outcome in (door.password_change(PASSWORD, NEW, username=ANNA), door.password_change(PASSWORD, NEW, "x"),
                        door.password_reset("AAAA-AAAA-AAAA-AAAA", NEW)):
            assert outcome.reason == "idp_managed"


def test_administrators_are_told_what_went_wrong(authsvc):
    authsvc.stop()
    for verb in ("reset-password", "expire-password"):
        done = authsvc.user(verb, "clinicwave", "nobody@clinicwave.com")
        assert done.returncode == 1 and "not_found" in done.stderr


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One authsvc for what changes nothing: its REST door."""
    directory = tmp_path_factory.mktemp("password")
    authsvc = Authsvc(directory, document(authsvc={"throttle": {"account": FAR}})).add_user("clinicwave", ANNA, PASSWORD).start()
    yield Rest(authsvc)
    authsvc.stop()


@pytest.mark.parametrize("path, good", [("password/change", '"username":"a","old_password":"b"'), ("password/reset", '"code":"a"')])
@pytest.mark.parametrize("bad", [
    b"", b'"new_password":1', b'"new_password":null', b'"new_password":["x"]', b'"new_password":"a","new_password":"b"', b'"new_password":"\xff"',
    b'"new_password":"a\\u0000b"', b'"new_password":"' + b"x" * 1025 + b'"', b'"new_password":"x","client_id":7', b'"new_password":"x","client_id":"' + b"x" * 5000 + b'"'],
    ids=lambda b: repr(b[:40]))
def test_a_malformed_body_is_malformed(shared, path, good, bad):
    answer = shared.post(f"/auth/v1/{path}", b"{" + good.encode() + b"," + bad + b"}" if bad else b"{" + good.encode() + b"}")
    assert answer.status_code == 400 and shared.outcome(answer).reason == "request_malformed"


def test_other_media_types_methods_origins_and_large_bodies_are_refused(shared):
    for path, body in (("password/change", {"username": ANNA, "old_password": "a", "new_password": "b"}), ("password/reset", {"code": "a", "new_password": "b"})):
        assert shared.post(f"/auth/v1/{path}", body, Content_Type="text/plain").status_code == 415
        assert shared.post(f"/auth/v1/{path}", {**body, "x": "y" * 20000}).status_code == 413
        assert shared.client.get(f"/auth/v1/{path}", headers={"Host": HOST}).status_code == 405
        answer = shared.post(f"/auth/v1/{path}", body, Origin="https://evil.example")
        assert answer.status_code == 403 and shared.outcome(answer).reason == "origin_forbidden"


@pytest.mark.parametrize("method, fields", [
    ("ChangePassword", {"username": b"\xff"}), ("ChangePassword", {"username": b"x" * 257}), ("ChangePassword", {"username": b"a", "old_password": b"\xff"}),
    ("ChangePassword", {"username": b"a", "new_password": b"a\0b"}), ("ChangePassword", {"username": b"a", "new_password": b"x" * 1025}),
    ("ChangePassword", {"username": b"a", "otp": b"1" * 65}), ("ChangePassword", {"username": b"a", "client_id": "x" * 5000}),
    ("ResetPassword", {"code": b"x" * 65}), ("ResetPassword", {"new_password": b"\xff"}), ("ResetPassword", {"new_password": b"x" * 1025}),
    ("ResetPassword", {"client_id": "x" * 5000})])
def test_grpc_refuses_the_same(shared, method, fields):
    door = DOORS["grpc"](shared.authsvc)
    assert rpc.message(f"clinicwave.identity.v1.{method}Request")
    outcome = door.outcome(lambda: getattr(door.stub, method)(domain=HOST, **fields))
    assert outcome.reason == "request_malformed", outcome


def test_a_hash_with_other_parameters_is_replaced_at_login(start):
    authsvc = start()
    configuration = yaml.safe_load(authsvc.config.read_text())
    configuration["authsvc"]["password"]["iterations"] = 2
    authsvc.stop()
    authsvc.config.write_text(yaml.safe_dump(configuration))
    door = Rest(authsvc.start())
    assert door.login(password="wrong").reason == "credentials_invalid" and '"rehashed"' not in authsvc.process.log()
    assert door.login().reason is None
    assert authsvc.process.log().count('"rehashed"') == 1
    assert door.login().reason is None  # and is good
    assert authsvc.process.log().count('"rehashed"') == 1


def peak_kib(pid):
    return int(next(line for line in open(f"/proc/{pid}/status") if line.startswith("VmHWM")).split()[1])


def test_a_flood_of_logins_costs_the_memory_of_those_that_run(start):
    """48 at once, of which one is hashed: two would need 64 MiB more."""
    kept = 256 * 1024 if os.environ.get("CW_PRELOAD") else 0  # AddressSanitizer keeps that much of what was freed
    authsvc = start(authsvc={"password": {"memory": "64MiB", "iterations": 1}, "login": {"threads": 1, "queue": 64}})
    door = Rest(authsvc)
    assert door.login().reason is None
    before = peak_kib(authsvc.process.pid)
    with concurrent.futures.ThreadPoolExecutor(48) as pool:
        reasons = list(pool.map(lambda _: door.login().reason, range(96)))
    assert reasons.count(None) > 48
    assert peak_kib(authsvc.process.pid) - before < 40 * 1024 + kept
