"""Nobody learns from the time of an answer whether a user exists, is blocked, or what was wrong.

The cases are interleaved, so that whatever else the host does falls on all of them; medians are compared. CW_SLOW=1 runs
400 rounds at production parameters and holds them to 2 %."""
import os
import statistics
import subprocess
import time

import pytest

from tests.e2e.authsvc.doors import ANNA, DOORS, PASSWORD
from tests.support.programs import program

SLOW = os.environ.get("CW_SLOW") == "1"
ROUNDS, TOLERANCE = (400, 0.02) if SLOW else (100, 0.15)
ATTEMPTS = 1 if SLOW else 4
COST = {"memory": "19MiB", "iterations": 2} if SLOW else {"memory": "2MiB", "iterations": 1}
FAR = {"burst": 100, "per-minute": 100000}  # throttling is another test's matter

CASES = {
    "wrong password": (ANNA, "wrong"),
    "unknown user": ("nobody@clinicwave.com", PASSWORD),
    "blocked user": ("blocked@clinicwave.com", "wrong"),
    "empty password": (ANNA, ""),
    "unknown user, empty password": ("nobody@clinicwave.com", ""),
    "longest password": (ANNA, "x" * 1024),
}


@pytest.mark.parametrize("name", sorted(DOORS))
def test_every_refusal_takes_the_same_time(start, name):
    authsvc = start(authsvc={"password": COST, "throttle": {"account": FAR, "address": {"burst": 1000000, "per-minute": 100000},
                                                           "tenant": {"burst": 1000000, "per-minute": 100000}}})
    authsvc.stop()
    authsvc.add_user("clinicwave", "blocked@clinicwave.com", PASSWORD)
    subprocess.run([program("authsvc/cw-authsvc"), "user", "disable", "--config", authsvc.config, "--tenant", "clinicwave", "--username",
                    "blocked@clinicwave.com"], check=True, stdout=subprocess.DEVNULL)
    door = DOORS[name](authsvc.start())
    # what leaks does so each time; a busy moment of the host does not come back again and again
    found = []
    while len(found) < ATTEMPTS and (not found or found[-1]):
        found.append(what_stands_out(door))
    assert not found[-1], found


def what_stands_out(door):
    """Cases whose median is not the usual one; in the rule, none."""
    took = {case: [] for case in CASES}
    for n in range(ROUNDS + 5):
        for case, (username, password) in CASES.items():
            started = time.perf_counter()
            outcome = door.login(username, password)
            elapsed = time.perf_counter() - started
            assert outcome.reason == "credentials_invalid"
            if n >= 5:
                took[case].append(elapsed)
    medians = {case: statistics.median(t) for case, t in took.items()}
    usual = statistics.median(medians.values())
    return [f"{case}: {median * 1e3:.3f} ms, usual {usual * 1e3:.3f} ms" for case, median in medians.items() if abs(median / usual - 1) > TOLERANCE]
