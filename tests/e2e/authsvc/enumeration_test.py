"""Nobody learns from an answer or its time whether a user exists, in which state it is, or what was wrong.

This is the short form, with a cheap hash and a wide bound; `./dev bench enumeration` holds 400 rounds at production parameters to 2 %."""
import statistics

import pytest

from tests.e2e.authsvc.doors import DOORS
from tests.e2e.authsvc.timing import CASES, SETTINGS, medians, populate

ROUNDS, TOLERANCE, ATTEMPTS = 100, 0.15, 4
COST = {"memory": "2MiB", "iterations": 1}


@pytest.fixture(params=sorted(DOORS))
def door(request, start):
    return DOORS[request.param](populate(start(authsvc={"password": COST, **SETTINGS})))


def test_every_refusal_says_the_same(door):
    outcomes = {case: door.login(*login) for case, login in CASES.items()}
    assert len({(o.reason, o.status, o.text, o.retry_after, o.mfa_token) for o in outcomes.values()}) == 1, outcomes


def what_stands_out(door):
    """Cases whose median is not the usual one; in the rule, none."""
    took = medians(door, ROUNDS)
    usual = statistics.median(took.values())
    return [f"{case}: {median * 1e3:.3f} ms, usual {usual * 1e3:.3f} ms" for case, median in took.items() if abs(median / usual - 1) > TOLERANCE]


def test_every_refusal_takes_the_same_time(door):
    # What leaks does so each time; a busy moment of the host does not come back again and again.
    found = []
    while len(found) < ATTEMPTS and (not found or found[-1]):
        found.append(what_stands_out(door))
    assert not found[-1], found
