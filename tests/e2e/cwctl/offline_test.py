"""cwctl without a sidecar: signatures, tokens, exit codes, and that a token shows up nowhere."""
import json
import pathlib
import subprocess
import time

import pytest

from tests.support import tokens
from tests.support.programs import program, source

NOW = 1700000000
ISSUER, AUDIENCE = "https://issuer.example/", "https://api.example"


def cwctl(*arguments, stdin=""):
    return subprocess.run([program("cwctl/cwctl"), *arguments], input=stdin, capture_output=True, text=True, timeout=30)


def payload(**changes):
    return tokens.claims(ISSUER, AUDIENCE, **dict({"iat": NOW, "exp": NOW + 600}, **changes))


@pytest.fixture(scope="module")
def key():
    return tokens.Key("ES256", "k1")


@pytest.fixture
def jwks(directory, key):
    path = directory / "jwks.json"
    path.write_text(json.dumps({"keys": [key.jwk()]}))
    return path


def verify(jwks, token, *more):
    return cwctl("token", "verify", "--offline", "--jwks", jwks, "--at", str(NOW + 1), "--issuer", ISSUER, "--audience", AUDIENCE, *more, token)


# --- jws verify

def batch(*lines):
    done = cwctl("jws", "verify", "--batch", stdin="".join((l if isinstance(l, str) else json.dumps(l)) + "\n" for l in lines))
    assert done.returncode == 0, done.stderr
    return [json.loads(l) for l in done.stdout.splitlines()]


def test_a_batch_answers_the_standards_examples_line_by_line():
    vectors = [json.loads(p.read_text()) for p in sorted(pathlib.Path(source("tests/vectors")).glob("*.json"))]
    signed = [v for v in vectors if "jws" in v]
    assert len(signed) >= 15
    answers = batch(*({"jwk": v["jwk"], "jws": v["jws"]} for v in signed))
    assert [a for a in answers] == [{"valid": True} if v["expect"] == "ok" else {"valid": False, "reason": v["expect"]} for v in signed]


def test_a_batch_takes_key_sets_and_any_payload(key):
    jws = tokens.compact({"alg": "ES256", "kid": "k1"}, b"\0" * 20, key.sign)
    other = tokens.Key("ES256", "k1").jwk()
    assert batch({"jwks": {"keys": [key.jwk()]}, "jws": jws}, {"jwks": {"keys": [other]}, "jws": jws},
                 {"jwks": {"keys": []}, "jws": jws}, {"jwks": {"keys": [key.jwk()]}, "jws": jws + "="}) == [
        {"valid": True}, {"valid": False, "reason": "signature_invalid"}, {"valid": False, "reason": "keys_unavailable"},
        {"valid": False, "reason": "token_malformed"}]


def test_a_bad_line_costs_that_line_only(key):
    jws = tokens.compact({"alg": "ES256"}, b"foo", key.sign)
    good = {"jwk": key.jwk(), "jws": jws}
    bad = {"valid": False, "reason": "request_malformed"}
    assert batch("", "no json", "[]", "{}", {"jws": jws}, dict(good, jwks={"keys": []}), '{"jws":1,"jws":2}',
                 dict(good, jws={"payload": "x"}), good) == [
        bad, bad, bad, bad, bad, bad, {"valid": False, "reason": "token_malformed"}, {"valid": True}]


def test_a_secret_in_a_given_key_set_counts_and_a_public_key_never_is_one(directory):
    import base64, hashlib, hmac
    secret = b"s" * 32
    sign = lambda k: lambda d: hmac.new(k, d, hashlib.sha256).digest()
    jwk = {"kty": "oct", "k": base64.urlsafe_b64encode(secret).rstrip(b"=").decode()}
    rsa = tokens.Key("RS256")
    confused = tokens.hmac_with_public_key(rsa, {})
    assert batch({"jwk": jwk, "jws": tokens.compact({"alg": "HS256"}, b"x", sign(secret))},
                 {"jwk": jwk, "jws": tokens.compact({"alg": "HS256"}, b"x", sign(b"x"))},
                 {"jwks": {"keys": [dict(rsa.jwk(), alg="RS256")]}, "jws": confused}) == [
        {"valid": True}, {"valid": False, "reason": "signature_invalid"}, {"valid": False, "reason": "algorithm_mismatch"}]


def test_one_signature_has_the_exit_codes_of_the_contract(jwks, key, directory):
    good = tokens.compact({"alg": "ES256"}, b"foo", key.sign)
    assert cwctl("jws", "verify", "--jwks", jwks, good).returncode == 0
    assert cwctl("jws", "verify", "--jwks", jwks, stdin=good + "\n").returncode == 0
    assert cwctl("jws", "verify", "--jwks", jwks, "-", stdin=good).returncode == 0
    refused = cwctl("jws", "verify", "--jwks", jwks, good[:-4] + "AAAA")
    assert refused.returncode == 1 and "signature_invalid" in refused.stdout
    assert cwctl("jws", "verify", "--jwks", directory / "absent", good).returncode == 2
    assert cwctl("jws", "verify", good).returncode == 64
    (directory / "token").write_text(good + "\n")
    assert cwctl("jws", "verify", "--jwks", jwks, "--token-file", directory / "token").returncode == 0


# --- token decode

def test_decode_shows_header_and_claims_and_never_says_valid(key):
    token = tokens.mint(key, payload(name="Ann\u0107\x1b[2J"))
    done = cwctl("token", "decode", token)
    assert done.returncode == 0
    shown = json.loads(done.stdout)
    assert shown["header"] == {"alg": "ES256", "typ": "at+jwt", "kid": "k1"} and shown["claims"]["iss"] == ISSUER
    assert "valid" not in (done.stdout + done.stderr).lower()
    assert "\x1b" not in done.stdout
    assert token.split(".")[2] not in done.stdout + done.stderr


def test_decode_refuses_what_is_no_token():
    for token, reason in [("a.b", "token_malformed"), ("e30.e30", "token_malformed"), ("W10.e30.AA", "header_malformed"),
                          ("e30.W10.AA", "claims_malformed"), ("a.b.c.d.e", "token_encrypted")]:
        done = cwctl("token", "decode", token)
        assert done.returncode == 1 and reason in done.stderr


# --- token verify --offline

def test_a_good_token_is_allowed_with_its_identity(jwks, key):
    done = verify(jwks, tokens.mint(key, payload(realm_access={"roles": ["doctor", "admin"]})), "--json", "--roles", "realm_access.roles")
    assert done.returncode == 0, done.stderr
    verdict = json.loads(done.stdout)
    assert verdict["decision"] == "ALLOW" and verdict["reason"] == "" and "checks" not in verdict
    assert verdict["identity"]["subject"] == "user|anna" and verdict["identity"]["roles"] == ["doctor", "admin"]
    assert verdict["identity"]["scopes"] == ["openid", "files:read", "files:write"]


@pytest.mark.parametrize("sentence, reason, change, option", [
    ("expired", "token_expired", {"exp": NOW}, []),
    ("not yet valid", "token_not_yet_valid", {"nbf": NOW + 60}, []),
    ("another audience", "audience_mismatch", {"aud": "x"}, []),
    ("another issuer", "issuer_unknown", {"iss": "https://issuer.example"}, []),
    ("a bound token", "confirmation_unsupported", {"cnf": {"jkt": "x"}}, []),
    ("no subject", "claim_missing", {"sub": None}, []),
    ("an algorithm that is not listed", "algorithm_not_allowed", {}, ["--algorithm", "RS256"]),
    ("a type that is not listed", "type_mismatch", {}, ["--type", "JWT"]),
    ("another client", "authorized_party_mismatch", {}, ["--client", "other"]),
    ("a claim that must be there", "claim_missing", {}, ["--require", "sid"]),
    ("a life that is too long", "lifetime_excessive", {}, ["--max-lifetime", "599"]),
])
def test_a_bad_token_is_refused_with_its_reason(jwks, key, sentence, reason, change, option):
    done = verify(jwks, tokens.mint(key, payload(**change)), "--json", *option)
    assert done.returncode == 1, (sentence, done.stdout, done.stderr)
    assert json.loads(done.stdout)["reason"] == reason
    assert json.loads(done.stdout)["decision"] == "UNAUTHENTICATED"


def test_explain_lists_what_was_compared_and_ends_at_the_refusal(jwks, key):
    checks = json.loads(verify(jwks, tokens.mint(key, payload()), "--json", "--explain").stdout)["checks"]
    assert all(c["passed"] for c in checks)
    names = [c["name"] for c in checks]
    assert names.index("typ") < names.index("alg") < names.index("issuer") < names.index("expiry") < names.index("signature") < names.index("audience")
    checks = json.loads(verify(jwks, tokens.mint(key, payload(aud="x")), "--json", "--explain").stdout)["checks"]
    assert [c["name"] for c in checks if not c["passed"]] == ["audience"] and checks[-1]["name"] == "audience"
    text = verify(jwks, tokens.mint(key, payload(exp=NOW)), "--explain")
    assert "FAIL" in text.stdout and "token_expired" in text.stdout and str(NOW) in text.stdout
    text = verify(jwks, tokens.mint(key, payload(sub='a"b\\\x85', name="x")))
    assert "2023-11-14T22:23:20Z" in text.stdout and 'a"b\\\\u0085\n' in text.stdout


def test_what_cannot_be_decided_is_neither_yes_nor_no(directory, jwks, key):
    token = tokens.mint(key, payload())
    for document in ["", "<html>", "{}", '{"keys":[]}']:
        (directory / "bad.json").write_text(document)
        assert verify(directory / "bad.json", token).returncode == 2
    assert verify(directory / "absent.json", token).returncode == 2


@pytest.mark.parametrize("arguments", [
    [], ["token"], ["nonsense"], ["token", "nonsense"], ["token", "verify", "--offline"], ["token", "verify", "--nonsense"],
    ["token", "verify", "--offline", "--jwks"], ["token", "verify", "--offline", "--jwks", "x", "--at", "yesterday"],
    ["token", "verify", "--offline", "--jwks", "x", "--leeway", "61"], ["token", "verify", "--offline", "--jwks", "x", "--leeway", "-1"],
    ["token", "verify", "--offline", "--jwks", "x", "--algorithm", "none", "a.b.c"],
    ["token", "verify", "--audience", "x", "a.b.c"], ["token", "verify", "--offline", "--jwks", "x", "--tenant", "x"],
    ["token", "verify", "--offline=1", "--jwks", "x"], ["token", "decode", "a", "b"], ["jws", "verify"],
    ["token", "decode", "--token-file", "/dev/null", "a.b.c"], ["token", "verify", "--token-file", "/dev/null", "a.b.c"],
    ["token", "verify", "--offline", "--jwks", "x", "--token-file", "/dev/null", "a.b.c"],
    ["jws", "verify", "--jwks", "x", "--token-file", "/dev/null", "a.b.c"], ["jws", "verify", "--batch", "x"],
])
def test_wrong_usage_is_64(arguments):
    assert cwctl(*arguments).returncode == 64


@pytest.mark.parametrize("command", [
    [], ["token"], ["token", "verify"], ["token", "decode"], ["jws", "verify"], ["keys", "list"], ["keys", "refresh"], ["cache", "stats"],
    ["cache", "flush"], ["instances"], ["tenants"], ["health"], ["config", "check"]])
def test_every_command_has_help(command):
    done = cwctl(*command, "--help")
    assert done.returncode == 0 and "usage: cwctl" in done.stdout and not done.stderr


def test_time_is_taken_in_both_forms(jwks, key):
    token = tokens.mint(key, payload())
    at = lambda t: cwctl("token", "verify", "--offline", "--jwks", jwks, "--at", t, token).returncode
    assert at("2023-11-14T22:13:20Z") == 0 and at("2023-11-14T22:23:20Z") == 1 and at(str(NOW)) == 0 and at(str(NOW + 600)) == 1


@pytest.mark.parametrize("time", ["2026-02-31T00:00:00Z", "2026-1-1T0:0:0Z", " 2026-01-01T00:00:00Z", "2026-01-01T00:00:00+00:00", "1960-01-01T00:00:00Z",
                                  "2026-01-01T24:00:00Z", "2026-01-01T00:00:00", "-1", ""])
def test_a_time_that_is_none_is_usage(jwks, key, time):
    done = cwctl("token", "verify", "--offline", "--jwks", jwks, "--at", time, tokens.mint(key, payload()))
    assert done.returncode == 64 and "--at" in done.stderr


@pytest.mark.parametrize("word", ["-h", "help", "--help"])
def test_help_is_found_by_its_usual_names(word):
    done = cwctl(word)
    assert done.returncode == 0 and "usage: cwctl" in done.stdout and not done.stderr


def test_the_next_option_is_no_value(jwks, key):
    token = tokens.mint(key, payload())
    done = cwctl("token", "verify", "--offline", "--jwks", jwks, "--audience", "--json", token)
    assert done.returncode == 64 and "--audience needs a value" in done.stderr
    done = cwctl("token", "verify", "--offline", "--jwks", jwks, "--audience=--json", "--at", str(NOW), token)
    assert done.returncode == 1 and "audience_mismatch" in done.stdout


def test_an_answer_that_cannot_be_written_is_none(jwks, key):
    token = tokens.mint(key, payload())
    judge = ["token", "verify", "--offline", "--jwks", jwks, "--at", str(NOW), token]
    for arguments in (judge, [*judge, "--json"], ["jws", "verify", "--jwks", jwks, token], ["token", "decode", token], ["--version"], ["--help"],
                      ["token", "verify", "--help"], ["health", "--json"]):
        with open("/dev/full", "w") as full:
            done = subprocess.run([program("cwctl/cwctl"), *arguments], stdout=full, stderr=subprocess.PIPE, text=True, timeout=30)
        assert done.returncode == 2 and "cannot be written" in done.stderr, arguments


# --- the token itself

def test_no_message_and_no_output_repeats_the_token(jwks, key):
    token = tokens.mint(key, payload())
    parts = [token, token.split(".")[2], token.split(".")[1]]
    for arguments in (["token", "verify", "--offline", "--jwks", jwks, token], ["token", "verify", token], ["tokn", "verify", token],
                      ["token", "verify", token, token], ["token", "decode", token], ["jws", "verify", "--jwks", jwks, token[:-8]],
                      ["token", "verify", "--offline", "--explain", "--json", "--jwks", jwks, token], ["token", token],
                      ["token", "verify", "--offline", "--jwks", jwks, "--token", token]):
        done = cwctl(*arguments)
        assert not [p for p in parts if p in done.stdout + done.stderr], arguments


def test_the_process_title_loses_the_token_at_once(directory, key):
    token = tokens.mint(key, payload())
    fifo = directory / "jwks"
    import os
    os.mkfifo(fifo)
    process = subprocess.Popen([program("cwctl/cwctl"), "token", "verify", "--offline", "--jwks", fifo, token], stdout=subprocess.PIPE)
    try:
        title = lambda: pathlib.Path(f"/proc/{process.pid}/cmdline").read_bytes()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and (b"verify" not in title() or token.encode() in title()):
            time.sleep(0.01)
        assert b"verify" in title() and token.encode() not in title()
    finally:
        fifo.write_text(json.dumps({"keys": [key.jwk()]}))
        process.communicate(timeout=10)
