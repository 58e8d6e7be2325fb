"""ValidateStream: batches, digests and rules as a gateway worker uses them."""
import time

import grpc
import pytest

from tests.e2e.sidecar.streams import Batches, digest, words
from tests.support import tokens
from tests.support.fixtures import tenant_of
from tests.support.issuer import Issuer
from tests.support.stack import Sidecar


@pytest.fixture
def gateway(sidecar, ending):
    return ending(Batches(sidecar.gateway_socket))


def test_a_token_is_verified_once_and_then_known_by_its_digest(gateway, issuer):
    token = issuer.token()
    assert gateway.ask_digest(token) == "undecided UNKNOWN_DIGEST digest_unknown"
    assert gateway.ask_token(token) == "ALLOW"
    assert gateway.ask_digest(token) == "ALLOW (cached)"
    assert gateway.ask_token(token) == "ALLOW (cached)"


def test_the_sidecar_hashes_tokens_itself_so_nobody_can_store_under_anothers_digest(gateway, issuer):
    good, forged = issuer.token(), tokens.tampered(issuer.token(), sub="root")
    # The last of the two wins (protobuf's oneof): the forged token, under its own digest.
    assert gateway.ask(gateway.entry(forged, digest=digest(good))) != ["ALLOW"]
    assert gateway.ask_digest(good) == "undecided UNKNOWN_DIGEST digest_unknown"
    assert gateway.ask_digest(forged) == "undecided UNKNOWN_DIGEST digest_unknown"


def test_a_digest_of_another_length_is_no_digest(gateway, issuer):
    token = issuer.token()
    assert gateway.ask_token(token) == "ALLOW"
    for bad in (digest(token)[:31], digest(token) + b"\0", digest(token)[:8], b""):
        assert gateway.ask(gateway.entry(digest=bad)) == ["undecided INVALID_ARGUMENT request_malformed"]


def test_a_flood_of_unknown_digests_costs_nobody_a_verdict(gateway, issuer):
    token = issuer.token()
    assert gateway.ask_token(token) == "ALLOW"
    for i in range(20):
        flood = [gateway.entry(digest=i.to_bytes(2, "big") + j.to_bytes(30, "big")) for j in range(255)]
        answers = gateway.ask(*flood, gateway.entry(digest=digest(token)))
        assert set(answers[:-1]) == {"undecided UNKNOWN_DIGEST digest_unknown"} and answers[-1] == "ALLOW (cached)"


def test_a_flushed_digest_is_unknown_and_the_token_is_verified_again(gateway, issuer, sidecar):
    token = issuer.token()
    assert gateway.ask_token(token) == "ALLOW"
    admin = sidecar.stub("clinicwave.token.v1.TokenAdminService", sidecar.admin_socket)
    assert admin.FlushCache(tenant="clinicwave").dropped == 1
    assert gateway.ask_digest(token) == "undecided UNKNOWN_DIGEST digest_unknown"
    assert gateway.ask_token(token) == "ALLOW"


def test_an_evicted_digest_is_unknown_and_the_token_is_verified_again(directory, authority, issuer, ending):
    small = ending(Sidecar(directory, [tenant_of(issuer, authority)], sidecar={"cache": {"max-entries": 256}}).start())
    gateway = ending(Batches(small.gateway_socket))
    all_tokens = [issuer.token(sub=f"user|{i}") for i in range(400)]  # one subject's tokens would put out one another
    assert gateway.ask_token(all_tokens[0]) == "ALLOW"  # the keys are there
    for i in range(1, 400, 57):
        assert gateway.ask(*[gateway.entry(t) for t in all_tokens[i:i + 57]]) == ["ALLOW"] * 57
    stats = small.stub("clinicwave.token.v1.TokenAdminService", small.admin_socket).GetCacheStats()
    assert stats.entries <= 256 + 16 and stats.evictions == 400 - stats.entries
    answers = [gateway.ask_digest(t) for t in all_tokens]
    assert set(answers) == {"undecided UNKNOWN_DIGEST digest_unknown", "ALLOW (cached)"}
    assert answers.count("ALLOW (cached)") == stats.entries
    assert gateway.ask_token(all_tokens[answers.index("undecided UNKNOWN_DIGEST digest_unknown")]) == "ALLOW"


def test_one_batch_mixes_hits_misses_and_refusals(gateway, issuer):
    known = issuer.token()
    assert gateway.ask_token(known) == "ALLOW"
    batch = [gateway.entry(digest=digest(known)), gateway.entry(issuer.token()), gateway.entry(issuer.expired()),
             gateway.entry(known, domain="unknown.example"), gateway.entry(known, rule=7), gateway.entry("not.a.token"),
             gateway.entry(""), gateway.entry("x" * (16 * 1024 + 1)), gateway.entry()]
    assert gateway.ask(*batch) == [
        "ALLOW (cached)", "ALLOW", "UNAUTHENTICATED token_expired", "undecided INVALID_ARGUMENT tenant_unknown",
        "undecided INVALID_ARGUMENT request_malformed", "UNAUTHENTICATED token_malformed", "UNAUTHENTICATED token_missing",
        "UNAUTHENTICATED token_too_large", "undecided INVALID_ARGUMENT request_malformed"]


def test_a_hit_does_not_wait_for_a_miss_in_the_same_batch(directory, authority, issuer, ending):
    slow = ending(Issuer(authority.issue("127.0.0.1")))
    slow.hang_on_keys()
    tenants = [tenant_of(issuer, authority), tenant_of(slow, authority, "slow", ["slow.example"])]
    gateway = ending(Batches(ending(Sidecar(directory, tenants).start()).gateway_socket))
    known = issuer.token()
    assert gateway.ask_token(known) == "ALLOW"
    miss, hit = gateway.send(gateway.entry(slow.token(), domain="slow.example"), gateway.entry(digest=digest(known)))
    assert set(gateway.answers(1)) == {hit}
    assert words(gateway.answers(1)[miss]) == "undecided UNAVAILABLE keys_unavailable"


def test_rules_are_judged_on_every_hit_and_can_be_replaced(gateway, issuer):
    token = issuer.token(roles=["doctor"])
    rules = [dict(rule=1, requirement=dict(scopes_all=["files:read"])), dict(rule=2, requirement=dict(scopes_all=["files:delete", "files:read"])),
             dict(rule=3, requirement=dict(roles_any=["nurse", "doctor"])), dict(rule=4, requirement=dict(roles_all=["nurse", "doctor"])),
             dict(rule=5, requirement=dict(audiences=["https://other.example"])), dict(rule=65535, requirement=dict(scopes_any=["a", "openid"]))]
    first = gateway.entry(token, rule=1)
    gateway.send(first, rules=rules)
    gateway.answers(1)
    entries = [gateway.entry(digest=digest(token), rule=n) for n in (1, 2, 3, 4, 5, 65535, 0)]
    assert gateway.ask(*entries) == [
        "ALLOW (cached)", "FORBIDDEN scope_insufficient (cached)", "ALLOW (cached)", "FORBIDDEN role_insufficient (cached)",
        "UNAUTHENTICATED audience_mismatch (cached)", "ALLOW (cached)", "ALLOW (cached)"]
    replaced = [dict(rule=2, requirement=dict(scopes_any=["files:read"]))]
    assert gateway.ask(gateway.entry(digest=digest(token), rule=2), rules=replaced) == ["ALLOW (cached)"]


@pytest.mark.parametrize("wrong", [dict(scopes_all=[""]), dict(roles_any=["r"] * 40000), dict(audiences=["\x00"]), dict(scopes_all=["files:read\x00x"])])
def test_a_rule_that_is_malformed_or_outgrows_its_memory_ends_the_stream(sidecar, issuer, ending, wrong):
    token = issuer.token()
    stream = ending(Batches(sidecar.gateway_socket))
    assert stream.ask(stream.entry(token, rule=1), rules=[dict(rule=1, requirement=dict(scopes_all=["files:read"]))]) == ["ALLOW"]
    with pytest.raises(grpc.RpcError) as refused:
        stream.ask(stream.entry(digest=digest(token), rule=2), rules=[dict(rule=2, requirement=wrong)])
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_an_insufficient_scope_says_which_would_have_been_enough(gateway, issuer):
    rules = [dict(rule=1, requirement=dict(scopes_all=["files:read", "files:delete"]))]
    ids = gateway.send(gateway.entry(issuer.token(), rule=1), rules=rules)
    verdict = gateway.answers(1)[ids[0]].verdict
    assert (verdict.reason, verdict.required_scope) == ("scope_insufficient", "files:read files:delete")
    assert verdict.identity.subject == "user|anna"


@pytest.mark.parametrize("size,status", [(256, None), (257, grpc.StatusCode.OUT_OF_RANGE)])
def test_a_batch_has_at_most_256_entries(sidecar, ending, size, status):
    stream = ending(Batches(sidecar.gateway_socket))
    entries = [stream.entry(digest=bytes(32)) for _ in range(size)]
    if status is None:
        assert len(stream.ask(*entries)) == size
        return
    with pytest.raises(grpc.RpcError) as refused:
        stream.ask(*entries)
    assert refused.value.code() == status


def test_a_batch_above_128_kib_ends_the_stream(gateway):
    with pytest.raises(grpc.RpcError) as refused:
        gateway.ask(*[gateway.entry("x" * 16000) for _ in range(9)])
    assert refused.value.code() == grpc.StatusCode.OUT_OF_RANGE


def test_answers_keep_the_bounds_of_a_message_too(sidecar, issuer, ending):
    stream = ending(Batches(sidecar.gateway_socket))
    token = issuer.token(scope=" ".join(f"scope:{i:040}" for i in range(60)))
    assert stream.ask_token(token) == "ALLOW"
    stream.messages.clear()
    assert set(stream.ask(*[stream.entry(digest=digest(token)) for _ in range(256)])) == {"ALLOW (cached)"}
    assert len(stream.messages) > 1 and all(m.ByteSize() <= 128 * 1024 for m in stream.messages)


def test_two_streams_do_not_share_rules(sidecar, issuer, ending):
    one, two = ending(Batches(sidecar.gateway_socket)), ending(Batches(sidecar.gateway_socket))
    token = issuer.token()
    assert one.ask(one.entry(token, rule=9), rules=[dict(rule=9)]) == ["ALLOW"]
    assert two.ask_token(token, rule=9) == "undecided INVALID_ARGUMENT request_malformed"
    assert two.ask_token(token) == "ALLOW (cached)"


def test_a_flood_of_bad_signatures_does_not_hold_up_anothers_good_token(sidecar, issuer, ending):
    flooding, good = ending(Batches(sidecar.gateway_socket)), ending(Batches(sidecar.gateway_socket))
    forged = [tokens.tampered(issuer.token(), sub=f"root{i}") for i in range(100)]
    fresh = [issuer.token() for _ in range(10)]
    assert good.ask_token(issuer.token()) == "ALLOW"  # the issuer's keys are there: nothing waits for them
    asked = 0
    for token in fresh:
        for _ in range(3):
            asked += len(flooding.send(*[flooding.entry(t) for t in forged]))
        begin = time.monotonic()
        assert good.ask_token(token) == "ALLOW"
        assert time.monotonic() - begin < 5
    answers = {words(a) for a in flooding.answers(asked).values()}
    assert answers <= {"UNAUTHENTICATED signature_invalid", "undecided RESOURCE_EXHAUSTED validator_overloaded"}
