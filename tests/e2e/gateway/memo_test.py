"""A connection's last token and host are remembered, not what was decided on them: each request is asked for, under its own token's digest and
its own domain."""
import hashlib
import http.client
import json

import pytest

HOST = "clinicwave.localhost"


@pytest.fixture
def ask(nginx, judge):
    """Requests on one connection: (status, who the service was told it is)."""
    g = nginx("location / { cw_auth required; proxy_pass http://@SERVICE@; }")
    connection = http.client.HTTPConnection("127.0.0.1", g.port, timeout=30)

    def ask(token, host=HOST):
        before = len(judge.seen)
        connection.request("GET", "/x", headers={"Host": host, **({} if token is None else {"Authorization": f"Bearer {token}"})})
        answer = connection.getresponse()
        body = json.loads(answer.read())
        assert len(judge.seen) > before
        return answer.status, next((v for k, v in body.get("headers", []) if k == "X-Auth-Subject"), body.get("reason"))
    yield ask
    connection.close()


def test_tokens_that_take_turns_are_told_apart(ask, judge):
    tokens = ["good", "goo", "good=", "Good", "gooe", "x" * 15, "x" * 16, "x" * 17, "x" * 16 + "y", "y" + "x" * 16, "z" * 2048, "z" * 2047 + "y", "z" * 2049, "z" * 16384]
    for i, token in enumerate(tokens):
        judge.allow(token, subject=f"user-{i}")
    for first in range(len(tokens)):
        for i in (first, first, first - 1, first, 0, first):
            assert ask(tokens[i]) == (200, f"user-{i % len(tokens)}")


def test_one_that_was_never_allowed_stands_for_nothing(ask, judge):
    for token, wanted in [("good", (200, "anna")), ("goof", (401, "signature_invalid")), ("goof", (401, "signature_invalid")),
                          ("good", (200, "anna")), (None, (401, "token_missing")), ("good", (200, "anna"))]:
        assert ask(token) == wanted


def test_a_token_is_asked_for_by_its_digest_each_time(ask, judge):
    for _ in range(5):
        assert ask("good") == (200, "anna")
    assert [e.WhichOneof("subject") for e in judge.seen] == ["token"] + 4 * ["digest"]
    assert {e.digest for e in judge.seen[1:]} == {hashlib.sha256(b"good").digest()}


def test_the_next_request_on_the_connection_knows_of_a_revocation(ask, judge):
    assert ask("good") == (200, "anna")
    assert ask("good") == (200, "anna")
    judge.refuse("good", "token_revoked")
    assert ask("good") == (401, "token_revoked")
    judge.allow("good", subject="eve")
    assert ask("good") == (200, "eve")


def test_hosts_that_take_turns_are_told_apart(ask, judge):
    hosts = {HOST: HOST, "ClinicWave.LOCALHOST": HOST, "abott.localhost": "abott.localhost", "clinicwave.localhos": "clinicwave.localhos",
             "a." * 40 + "localhost": "a." * 40 + "localhost"}
    for first in hosts:
        for host in (first, first, HOST, first):
            assert ask("good", host) == (200, "anna")
            assert judge.seen[-1].domain == hosts[host]
