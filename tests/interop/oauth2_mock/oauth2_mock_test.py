"""npm's oauth2-mock-server replays Auth0's error table against our login: each is told in our words, none is a wrong password that is not one,
and the next login is good again."""
import os
import pathlib

import httpx
import pytest

from tests.e2e.authsvc import idp_errors
from tests.e2e.authsvc.doors import DOORS, document
from tests.e2e.authsvc.idp_world import ABOTT, abott
from tests.support.programs import CHECKOUT, Program, free_port, listening, source
from tests.support.stack import Authsvc

DEPS = pathlib.Path(os.environ.get("CW_DEPS") or CHECKOUT / ".run/deps") / "oauth2_mock"
BOB, PASSWORD = "bob@abott.com", "a password that it never looks at"


class Mock:
    client, secret = "clinicwave", "a secret of this test"

    def __init__(self, directory):
        self.port, self.control = free_port(), free_port()
        self.url = f"http://localhost:{self.port}"  # as it calls itself
        self.process = Program("oauth2-mock", ["node", source("tests/interop/oauth2_mock/mock.mjs"), DEPS, self.port, self.control,
                                               "https://api.abott.com"], directory)

    def start(self):
        self.process.start().until_ready(lambda: listening(self.port) and listening(self.control), 60)
        return self

    def next(self, status, body, **headers):
        httpx.post(f"http://127.0.0.1:{self.control}", json={"status": status, "body": body, "headers": headers}, trust_env=False).raise_for_status()

    def stop(self):
        return self.process.stop()


class World:
    def __init__(self, mock, door):
        self.mock, self.door = mock, door

    def login(self):
        return self.door.login(BOB, PASSWORD, domain=ABOTT)


@pytest.fixture(params=sorted(DOORS))
def world(request, directory, ending):
    mock = ending(Mock(directory).start())
    config = document(authsvc={"throttle": {"account": {"burst": 100}}}, algorithm="ES256")
    config["tenants"].append(abott(mock, directory, connection=None, breaker={"failures": 1000}))
    return World(mock, DOORS[request.param](ending(Authsvc(directory, config)).start()))


def test_every_refusal_of_a_login_is_told_in_our_words(world):
    seen = []
    for status, body, _ in idp_errors.LOGIN:
        world.mock.next(status, body)
        outcome = world.login()
        seen.append((status, body, outcome.reason))
        assert outcome.tokens is None and "Unauthorized" not in outcome.text and "Service not found" not in outcome.text
        assert world.login().reason is None, (status, body)  # and nothing is left of it
    assert seen == idp_errors.LOGIN


def test_how_long_to_wait_is_passed_on(world):
    world.mock.next(429, idp_errors.error("too_many_attempts"), **{"Retry-After": "120"})
    outcome = world.login()
    assert (outcome.reason, outcome.retry_after) == ("throttled", 120)


def test_every_refusal_of_a_refresh_is_told_in_our_words(world):
    seen = []
    for status, body, reason in idp_errors.REFRESH:
        token = world.login().tokens["refresh_token"]
        world.mock.next(status, body)
        seen.append((status, body, world.door.refresh(token, domain=ABOTT).reason))
        again = world.door.refresh(token, domain=ABOTT).reason
        assert again == ("refresh_invalid" if reason == "refresh_invalid" else None), (status, body, again)
    assert seen == idp_errors.REFRESH
