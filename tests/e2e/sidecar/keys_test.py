"""The issuer's keys, and everything that can be wrong with fetching them: never "allow", never a 401 for "could not decide"."""
import concurrent.futures
import os
import signal
import time

import grpc
import pytest

from tests.e2e.sidecar.streams import Batches, words
from tests.support import tokens
from tests.support.fixtures import tenant_of
from tests.support.issuer import Issuer
from tests.support.programs import until
from tests.support.stack import Sidecar

BAD = {
    "500": dict(body=b"{}", status=500),
    "a redirect": dict(body=b"", status=302, Location="https://127.0.0.1:1/jwks.json"),
    "HTML": dict(body=b"<html><body>Sign in</body></html>", content_type="text/html"),
    "10 MiB": dict(body=b'{"keys":[' + b" " * (10 << 20) + b"]}"),
    "nothing": dict(body=b""),
    "no usable key": dict(body=b'{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"x"}]}'),
}


def admin(sidecar):
    return sidecar.stub("clinicwave.token.v1.TokenAdminService", sidecar.admin_socket)


def keys_of(sidecar):
    return admin(sidecar).ListKeys().issuers[0]


def refusal(sidecar, token):
    """The status of a call that was not decided."""
    with pytest.raises(grpc.RpcError) as failed:
        sidecar.validate(token)
    return failed.value.code().name, failed.value.details()


@pytest.fixture
def started(directory, authority, issuer, ending):
    """Starts a sidecar, with settings for its only issuer and for itself."""
    def start(settings=None, **changes):
        return ending(Sidecar(directory, [tenant_of(issuer, authority, **(settings or {}))], **changes).start())
    return start


@pytest.mark.parametrize("what", BAD)
def test_keys_that_never_came_leave_tokens_undecided(what, issuer, started):
    issuer.answer_keys_with(**BAD[what])
    sidecar = started()
    until("the fetch failed", lambda: keys_of(sidecar).error)
    assert refusal(sidecar, issuer.token())[0] == "UNAVAILABLE"
    assert keys_of(sidecar).failures >= 1 and not keys_of(sidecar).keys


@pytest.mark.parametrize("what", BAD)
def test_a_restart_while_the_issuer_is_ill_serves_the_last_good_keys(what, issuer, started):
    first = started()
    assert first.validate(issuer.token()).decision == 1
    until("the keys are on disk", lambda: list((first.directory / "state").glob("keys-*.jwks")))
    first.stop()
    issuer.answer_keys_with(**BAD[what])
    second = started()
    until("the fetch failed", lambda: keys_of(second).error)
    assert second.validate(issuer.token()).decision == 1
    assert second.validate(tokens.tampered(issuer.token(), sub="root")).reason == "signature_invalid"


def test_a_pipe_in_the_place_of_a_key_file_holds_nobody_up(directory, authority, issuer, ending):
    """Nobody writes into it: who waited for that would never fetch another issuer's keys again."""
    (directory / "keys").mkdir()
    os.mkfifo(directory / "keys/pipe")
    piped = {"name": "abott", "domains": ["abott.com"], "audiences": ["api"],
             "issuers": [{"issuer": "https://piped.invalid/", "jwks-file": str(directory / "keys/pipe")}]}
    sidecar = ending(Sidecar(directory, [piped, tenant_of(issuer, authority)]).start())
    assert sidecar.validate(issuer.token()).decision == 1
    told = until("the pipe is refused", lambda: [i.error for i in admin(sidecar).ListKeys().issuers if "piped" in i.issuer and i.error])
    assert told == ["is no file"]


def test_a_fetch_that_hangs_holds_a_token_to_its_bound_only(issuer, started):
    issuer.hang_on_keys()
    sidecar = started(sidecar={"key-wait": "300ms"})
    begin = time.monotonic()
    assert refusal(sidecar, issuer.token())[0] == "UNAVAILABLE"
    assert 0.2 < time.monotonic() - begin < 8


def test_tokens_that_wait_are_answered_when_the_keys_arrive(issuer, started):
    issuer.hold_keys()
    sidecar = started(sidecar={"key-wait": "30s"})
    until("the fetch began", lambda: issuer.fetches)
    pending = sidecar.stub().Validate
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        answers = [threads.submit(pending, token=issuer.token().encode(), domain="clinicwave.com", timeout=30) for _ in range(8)]
        time.sleep(0.5)
        assert not any(a.done() for a in answers)
        issuer.answer_normally()
        assert [a.result().decision for a in answers] == [1] * 8
    assert issuer.fetches == 1


def test_a_flood_of_made_up_kids_costs_the_issuer_no_fetch_of_its_own(issuer, sidecar, ending):
    assert sidecar.validate(issuer.token()).decision == 1
    stream = ending(Batches(sidecar.gateway_socket))
    for _ in range(10):
        flood = [stream.entry(tokens.mint(issuer.keys[0], issuer.claims(), kid=f"made-up-{i}")) for i in range(50)]
        assert set(stream.ask(*flood)) <= {"UNAUTHENTICATED key_unknown", "undecided RESOURCE_EXHAUSTED validator_overloaded"}
    assert issuer.fetches == 1
    assert sidecar.validate(issuer.token()).decision == 1


def test_a_queue_that_is_full_sheds_and_says_so(issuer, started, ending):
    sidecar = started(sidecar={"queue": 4, "verifiers": 1})
    assert sidecar.validate(issuer.token()).decision == 1
    stream = ending(Batches(sidecar.gateway_socket))
    answers = stream.ask(*[stream.entry(issuer.token()) for _ in range(150)])
    assert set(answers) == {"ALLOW", "undecided RESOURCE_EXHAUSTED validator_overloaded"}
    assert sidecar.validate(issuer.token()).decision == 1


def test_issuers_that_hang_do_not_hold_up_the_tokens_of_others(directory, authority, issuer, ending):
    """Their tokens wait for keys; half of what the sidecar may have under way is kept from waiting."""
    hanging = [ending(Issuer(authority.issue("127.0.0.1"))) for _ in range(8)]
    for one in hanging:
        one.hang_on_keys()
    tenants = [tenant_of(issuer, authority), *(tenant_of(one, authority, f"t{i}", [f"t{i}.example"]) for i, one in enumerate(hanging))]
    sidecar = ending(Sidecar(directory, tenants, sidecar={"queue": 8, "verifiers": 1, "key-wait": "8s", "timeout": "20s"}).start())
    until("the good issuer's keys are there", lambda: sidecar.validate(issuer.token()).decision == 1)
    until("the others are asked", lambda: all(one.fetches for one in hanging))
    streams = [ending(Batches(sidecar.gateway_socket)) for _ in hanging]
    for stream, (i, one) in zip(streams, enumerate(hanging)):
        for _ in range(4):  # in small batches: the queue is short
            stream.send(*[stream.entry(one.token(), domain=f"t{i}.example") for _ in range(2)])
            time.sleep(0.05)
    good = ending(Batches(sidecar.gateway_socket))
    assert [good.ask_token(issuer.token()) for _ in range(20)] == ["ALLOW"] * 20
    refused = {words(a) for stream in streams for a in stream.answers(1).values()}
    assert refused <= {"undecided UNAVAILABLE keys_unavailable", "undecided RESOURCE_EXHAUSTED validator_overloaded"}


def test_discovery_that_names_another_issuer_is_not_believed(directory, authority, ending):
    other = ending(Issuer(authority.issue("127.0.0.1", "localhost")))
    tenant = tenant_of(other, authority)
    # The same document under another name: `localhost` is not `127.0.0.1`.
    tenant["issuers"][0]["issuer"] = other.url.replace("127.0.0.1", "localhost")
    sidecar = ending(Sidecar(directory, [tenant]).start())
    assert "another issuer" in until("the fetch failed", lambda: keys_of(sidecar).error)
    assert not keys_of(sidecar).keys and other.fetches == 0 and other.discoveries == 1


def test_a_certificate_that_nobody_vouches_for_is_refused(directory, issuer, ending):
    sidecar = ending(Sidecar(directory, [tenant_of(issuer)]).start())
    until("the fetch failed", lambda: keys_of(sidecar).error)
    assert issuer.fetches == 0 and refusal(sidecar, issuer.token())[0] == "UNAVAILABLE"


def test_plain_http_is_refused_unless_the_issuer_is_allowed_it_and_then_warned_about(directory, ending):
    plain = ending(Issuer())
    sidecar = Sidecar(directory, [tenant_of(plain)])
    sidecar.process.start()
    assert sidecar.process.process.wait(10) == 2 and "https" in sidecar.process.log()
    allowed = ending(Sidecar(directory, [tenant_of(plain, **{"insecure-http-loopback": True})]).start())
    assert allowed.validate(plain.token()).decision == 1 and "plain-http-allowed" in allowed.process.log()


def test_a_key_file_is_enough(directory, issuer, ending):
    import json
    path = directory / "jwks.json"
    path.write_text(json.dumps(issuer.jwks()))
    sidecar = ending(Sidecar(directory, [tenant_of(issuer, **{"jwks-file": str(path)})]).start())
    assert sidecar.validate(issuer.token()).decision == 1 and issuer.fetches == 0


def test_a_key_file_is_read_again_at_a_reload(directory, issuer, ending):
    """By itself it is looked at every half minute: whoever takes a key out of it means now."""
    import json
    path = directory / "jwks.json"
    path.write_text(json.dumps(issuer.jwks()))
    sidecar = ending(Sidecar(directory, [tenant_of(issuer, **{"jwks-file": str(path)})]).start())
    old = issuer.token()
    assert sidecar.validate(old).decision == 1
    issuer.rotate(keep_old=False)
    path.write_text(json.dumps(issuer.jwks()))
    sidecar.process.signal(signal.SIGHUP)
    until("the new key is known", lambda: sidecar.validate(issuer.token()).decision == 1, seconds=15)
    assert sidecar.validate(old).reason == "key_unknown"


def test_a_required_issuer_without_keys_makes_the_sidecar_not_ready(directory, authority, issuer, ending):
    issuer.answer_keys_with(status=500)
    sidecar = ending(Sidecar(directory, [tenant_of(issuer, authority, required=True)]))
    sidecar.process.start()
    import urllib.error
    def not_ready():
        try:
            return not sidecar.ready()
        except urllib.error.HTTPError as e:
            return e.code == 503
    until("it says that it is not ready", not_ready)
    issuer.answer_normally()
    sidecar.process.until_ready(sidecar.ready)
