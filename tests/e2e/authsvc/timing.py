"""How long refusals of a login take, by what is wrong: for enumeration_test, and for `./dev bench enumeration`."""
import statistics
import time

from tests.e2e.authsvc.doors import ANNA, PASSWORD, Rest, Totp

BLOCKED, EXPIRED, ENROLLED, LOCKED, NOBODY = (f"{n}@clinicwave.com" for n in ("blocked", "expired", "enrolled", "locked", "nobody"))

CASES = {
    "wrong password": (ANNA, "wrong"),
    "unknown user": (NOBODY, PASSWORD),
    "blocked user": (BLOCKED, "wrong"),
    "expired password": (EXPIRED, "wrong"),
    "second factor": (ENROLLED, "wrong"),
    "locked": (LOCKED, "wrong"),  # too many wrong codes: the one lock that lasts
    "empty password": (ANNA, ""),
    "unknown, empty": (NOBODY, ""),
    "longest password": (ANNA, "x" * 1024),
}

# Throttling is another test's matter.
BURSTS = (("account", 100), ("address", 1000000), ("tenant", 1000000), ("mfa", 100))
CODES = 5  # wrong ones, until none is looked at any more
SETTINGS = {"throttle": {name: {"burst": burst, "per-minute": 100000} for name, burst in BURSTS}, "mfa": {"failures-max": CODES}}


def enrol(door, username):
    token = door.login(username).tokens["access_token"]
    app = Totp(door.totp_start(token, PASSWORD).tokens["secret"])
    assert door.totp_confirm(token, app.code()).reason is None
    return app


def populate(authsvc):
    """Users in every state, beside anna; AUTHSVC, which has SETTINGS, is started afterwards."""
    authsvc.stop()
    for name in (BLOCKED, EXPIRED, ENROLLED, LOCKED):
        authsvc.add_user("clinicwave", name, PASSWORD)
    assert authsvc.user("disable", "clinicwave", BLOCKED).returncode == 0
    assert authsvc.user("expire-password", "clinicwave", EXPIRED).returncode == 0
    door = Rest(authsvc.start())
    enrol(door, ENROLLED)
    app = enrol(door, LOCKED)
    assert {door.login(LOCKED, otp=app.wrong()).reason for _ in range(CODES)} == {"mfa_invalid"}
    assert door.login(LOCKED, otp=app.code()).reason == "mfa_blocked"
    states = {n: door.login(n).reason for n in (ANNA, BLOCKED, EXPIRED, ENROLLED, LOCKED, NOBODY)}
    assert list(states.values()) == [None, "account_blocked", "password_expired", "mfa_required", "mfa_required", "credentials_invalid"], states
    return authsvc


def medians(door, rounds, warm=5):
    """Seconds by case. The cases are interleaved, so that whatever else the host does falls on all of them."""
    took = {case: [] for case in CASES}
    for n in range(rounds + warm):
        for case, (username, password) in CASES.items():
            started = time.perf_counter()
            outcome = door.login(username, password)
            elapsed = time.perf_counter() - started
            assert outcome.reason == "credentials_invalid", (case, outcome)
            if n >= warm:
                took[case].append(elapsed)
    return {case: statistics.median(t) for case, t in took.items()}
