"""The sidecar over its socket, with a real issuer behind it: one token, one verdict."""
import time

import grpc
import pytest

from tests.support import rpc, tokens
from tests.support.fixtures import tenant_of
from tests.support.stack import Sidecar

ALLOW, UNAUTHENTICATED, FORBIDDEN = 1, 2, 3


def test_a_good_token_is_allowed_and_says_who_it_speaks_for(sidecar, issuer):
    answer = sidecar.validate(issuer.token(sub="user|anna", scope="openid files:read"))
    assert (answer.decision, answer.reason) == (ALLOW, "")
    assert answer.identity.tenant == "clinicwave"
    assert answer.identity.subject == "user|anna"
    assert answer.identity.issuer == issuer.url
    assert list(answer.identity.scopes) == ["openid", "files:read"]


def test_the_second_time_it_comes_from_the_cache(sidecar, issuer):
    token = issuer.token()
    assert not sidecar.validate(token).cached
    assert sidecar.validate(token).cached


def refusals(issuer):
    stranger = tokens.Key("RS256", kid=issuer.keys[0].kid)
    return {
        "token_expired": issuer.expired(),
        "token_not_yet_valid": issuer.token(nbf=int(time.time()) + 3600),
        "audience_mismatch": issuer.token(aud="https://somebody-else.example"),
        "issuer_unknown": issuer.token(iss="https://somebody-else.example/"),
        "signature_invalid": issuer.token(key=stranger),
        "token_missing": "",
        "algorithm_not_allowed": tokens.unsigned(issuer.claims()),
        "key_unknown": issuer.token(key=tokens.Key("RS256")),
    }


@pytest.mark.parametrize("reason", ["token_expired", "token_not_yet_valid", "audience_mismatch", "issuer_unknown", "signature_invalid",
                                    "token_missing", "algorithm_not_allowed", "key_unknown"])
def test_a_token_with_one_thing_wrong_is_refused_with_that_reason(sidecar, issuer, reason):
    answer = sidecar.validate(refusals(issuer)[reason])
    assert (answer.decision, answer.reason) == (UNAUTHENTICATED, reason)
    assert not answer.identity.subject


def test_claims_changed_under_a_good_signature_are_refused(sidecar, issuer):
    answer = sidecar.validate(tokens.tampered(issuer.token(), sub="admin"))
    assert (answer.decision, answer.reason) == (UNAUTHENTICATED, "signature_invalid")


def test_the_public_key_is_no_hmac_secret(sidecar, issuer):
    answer = sidecar.validate(tokens.hmac_with_public_key(issuer.keys[0], issuer.claims()))
    assert (answer.decision, answer.reason) == (UNAUTHENTICATED, "algorithm_not_allowed")


def test_scope_is_judged_on_a_cached_token_too(sidecar, issuer):
    token = issuer.token(scope="files:read")
    assert sidecar.validate(token, requirement={"scopes_all": ["files:read"]}).decision == ALLOW
    answer = sidecar.validate(token, requirement={"scopes_all": ["files:write"]})
    assert (answer.decision, answer.reason, answer.cached) == (FORBIDDEN, "scope_insufficient", True)
    assert answer.required_scope == "files:write"
    assert answer.identity.subject == "user|anna"


def test_role_and_audience_of_the_requirement_are_judged(sidecar, issuer):
    token = issuer.token(roles=["doctor"])
    assert sidecar.validate(token, requirement={"roles_any": ["nurse", "doctor"]}).decision == ALLOW
    assert sidecar.validate(token, requirement={"roles_all": ["nurse", "doctor"]}).reason == "role_insufficient"
    assert sidecar.validate(token, requirement={"audiences": ["https://other.example"]}).reason == "audience_mismatch"


def test_a_domain_of_nobody_is_no_verdict(sidecar, issuer):
    with pytest.raises(grpc.RpcError) as e:
        sidecar.validate(issuer.token(), domain="nobody.example")
    assert e.value.code() == grpc.StatusCode.NOT_FOUND


def test_domains_are_compared_normalised(sidecar, issuer):
    assert sidecar.validate(issuer.token(), domain="ClinicWave.LOCALHOST.").decision == ALLOW


def test_explain_lists_the_checks_and_shows_no_token(sidecar, issuer):
    token = issuer.expired()
    checks = sidecar.validate(token, explain=True).checks
    assert len(checks) > 3
    assert not checks[-1].passed
    assert token.split(".")[2] not in str(checks)


def test_the_batched_stream_is_for_the_gateways_socket_only(sidecar, issuer):
    request = rpc.message("clinicwave.token.v1.ValidateStreamRequest")()
    with pytest.raises(grpc.RpcError) as e:
        list(sidecar.stub().ValidateStream(iter([request]), timeout=10))
    assert e.value.code() == grpc.StatusCode.PERMISSION_DENIED


def test_it_stops_when_asked_and_leaves_no_sockets(sidecar):
    assert sidecar.stop() == 0
    assert not sidecar.socket.exists() and not sidecar.gateway_socket.exists()


def test_a_thumbprint_beside_the_kid_is_refused_unless_the_issuer_is_known_to_send_it(directory, authority, issuer, ending):
    settings = {"tenant": tenant_of(issuer, authority)}
    token = issuer.token(header={"x5t": "x5t-of-the-certificate"})
    sidecar = Sidecar(directory, [settings["tenant"]]).start()
    try:
        assert sidecar.validate(token).reason == "header_forbidden"
    finally:
        sidecar.stop()
    settings["tenant"]["issuers"][0]["ignore-x5t"] = True
    sidecar = ending(Sidecar(directory, [settings["tenant"]]).start())
    assert sidecar.validate(token).decision == 1
    assert sidecar.validate(issuer.token(header={"x5t": "A", "x5c": ["MII"]})).reason == "header_forbidden"
    assert sidecar.validate(tokens.tampered(token, sub="root")).reason == "signature_invalid"
