"""From logout to refusal: what authsvc revokes, the sidecar refuses on the very next decision, also after crashes."""
import time

import grpc
import pytest

from tests.e2e.authsvc.administration import Admin
from tests.e2e.authsvc.doors import ANNA, HOST, PASSWORD, Grpc, Rest
from tests.support import rpc
from tests.support.programs import until
from tests.support.stack import Sidecar

ALLOW = "DECISION_ALLOW"


@pytest.fixture
def sidecar(authsvc, directory, ending):
    (directory / "sidecar").mkdir()
    s = ending(Sidecar(directory / "sidecar", [], sidecar={"authsvc": {"socket": str(authsvc.socket), "max-stale": "7s"}}).start())
    until("the sidecar knows the tenants and the revocations", lambda: s.ready() and (directory / "sidecar/state/revocations").exists())
    return s


def reason(sidecar, token):
    """"allow", the reason of a refusal, or the reason why nothing was decided."""
    try:
        answer = sidecar.validate(token, HOST)
    except grpc.RpcError as e:
        details = dict(e.trailing_metadata()).get("grpc-status-details-bin", b"")
        for d in rpc.message("google.rpc.Status").FromString(details).details:
            if d.type_url.endswith("/google.rpc.ErrorInfo"):
                return "undecided: " + rpc.message("google.rpc.ErrorInfo").FromString(d.value).reason
        return f"undecided: {e.code()}"
    return "allow" if answer.decision == rpc.enum("clinicwave.token.v1.Decision")[ALLOW] else answer.reason


def allowed(sidecar, token):
    return until("the token is good", lambda: reason(sidecar, token) == "allow")


@pytest.mark.parametrize("door", [Rest, Grpc])
@pytest.mark.parametrize("cached", [True, False])
def test_after_logout_the_very_next_decision_refuses(authsvc, sidecar, door, cached):
    d = door(authsvc)
    allowed(sidecar, d.login().tokens["access_token"])
    gone, stays = d.login().tokens, d.login().tokens
    for t in (gone, stays) if cached else ():
        assert reason(sidecar, t["access_token"]) == "allow"
    assert d.logout(refresh_token=gone["refresh_token"]).reason is None
    assert reason(sidecar, gone["access_token"]) == "token_revoked"
    assert reason(sidecar, stays["access_token"]) == "allow"
    assert d.end_session(stays["access_token"], stays["session_id"]).reason is None
    assert reason(sidecar, stays["access_token"]) == "token_revoked"
    assert reason(sidecar, d.login().tokens["access_token"]) == "allow"


def test_a_sidecar_that_stands_still_costs_one_logout_its_wait(authsvc, sidecar):
    d = Rest(authsvc)
    gone = [d.login().tokens for _ in range(3)]
    allowed(sidecar, gone[0]["access_token"])
    sidecar.process.pause()
    took = []
    for tokens in gone:
        began = time.monotonic()
        assert d.logout(refresh_token=tokens["refresh_token"]).reason is None
        took.append(time.monotonic() - began)
    assert took[0] >= 0.9 and max(took[1:]) < 0.9, took
    sidecar.process.go_on()
    for tokens in gone:
        until("its revocation has arrived", lambda: reason(sidecar, tokens["access_token"]) == "token_revoked")
    last = d.login().tokens
    assert d.logout(refresh_token=last["refresh_token"]).reason is None
    assert reason(sidecar, last["access_token"]) == "token_revoked"


def test_tokens_that_were_refreshed_end_with_their_session(authsvc, sidecar):
    d = Rest(authsvc)
    first = d.login().tokens
    allowed(sidecar, first["access_token"])
    second = d.refresh(first["refresh_token"]).tokens
    third = d.refresh(second["refresh_token"]).tokens
    assert reason(sidecar, third["access_token"]) == "allow"
    assert d.refresh(first["refresh_token"]).reason == "refresh_invalid"  # stolen: the session is over
    for t in (first, second, third):
        assert reason(sidecar, t["access_token"]) == "token_revoked"


@pytest.mark.parametrize("door", [Rest, Grpc])
def test_after_a_change_of_password_the_other_sessions_are_refused(authsvc, sidecar, door):
    d = door(authsvc)
    gone, stays = d.login().tokens, d.login().tokens
    for t in (gone, stays):
        allowed(sidecar, t["access_token"])
    assert d.password_change(PASSWORD, "another one, just as good", stays["access_token"]).reason is None
    assert reason(sidecar, gone["access_token"]) == "token_revoked"
    assert reason(sidecar, stays["access_token"]) == "allow"


def reset(door, admin):
    code = admin.IssuePasswordReset(tenant="clinicwave", username=ANNA).code.decode()
    assert door.password_reset(code, "a wholly new passphrase").reason is None


ENDS = {
    "the user is disabled": lambda door, admin: admin.DisableUser(tenant="clinicwave", username=ANNA),
    "a password is set": lambda door, admin: admin.SetPassword(tenant="clinicwave", username=ANNA, password=b"a wholly new passphrase"),
    "the password expires": lambda door, admin: admin.ExpirePassword(tenant="clinicwave", username=ANNA),
    "the password is reset": reset,
}


@pytest.mark.parametrize("end", sorted(ENDS))
def test_what_ends_a_users_sessions_is_at_the_sidecar_on_the_very_next_decision(authsvc, sidecar, end):
    admin, door = Admin(authsvc), Rest(authsvc)
    admin.user("clinicwave", "bob@clinicwave.com")
    one, two, bobs = door.login().tokens, door.login().tokens, door.login("bob@clinicwave.com").tokens
    for t in (one, two, bobs):
        allowed(sidecar, t["access_token"])
    ENDS[end](door, admin.stub)
    for t in (one, two):
        assert reason(sidecar, t["access_token"]) == "token_revoked"
        assert door.userinfo(t["access_token"]).reason == "token_revoked"
    assert reason(sidecar, bobs["access_token"]) == "allow"


def test_revocations_survive_crashes_of_both(authsvc, sidecar, directory):
    d = Rest(authsvc)
    gone, stays = d.login().tokens, d.login().tokens
    allowed(sidecar, gone["access_token"])
    d.logout(refresh_token=gone["refresh_token"])
    until("the revocation is on disk", lambda: gone["session_id"].encode() in (directory / "sidecar/state/revocations").read_bytes())
    authsvc.process.kill()
    sidecar.process.kill()
    sidecar.start()  # without authsvc
    assert reason(sidecar, gone["access_token"]) == "token_revoked"
    assert reason(sidecar, stays["access_token"]) == "allow"
    authsvc.start()
    assert reason(sidecar, gone["access_token"]) == "token_revoked"


def test_what_happened_while_they_were_apart_arrives(authsvc, sidecar):
    d = Rest(authsvc)
    gone = d.login().tokens
    allowed(sidecar, gone["access_token"])
    sidecar.process.pause()
    assert d.logout(refresh_token=gone["refresh_token"]).reason is None
    sidecar.process.go_on()
    until("the revocation has arrived", lambda: reason(sidecar, gone["access_token"]) == "token_revoked")


def test_a_silent_feed_is_no_feed(authsvc, sidecar):
    d = Rest(authsvc)
    t = d.login().tokens
    allowed(sidecar, t["access_token"])
    authsvc.process.pause()
    until("nothing is decided any more", lambda: reason(sidecar, t["access_token"]) == "undecided: feed_stale")
    authsvc.process.go_on()
    until("the feed is back", lambda: reason(sidecar, t["access_token"]) == "allow")
