"""The bytes between us and a provider against what Auth0 publishes, how our client proves itself, and what `CheckTenant` finds."""
import json
import os
import pathlib
import subprocess
import threading
import time

import pytest
from cryptography.hazmat.primitives import serialization

from tests.e2e.authsvc.administration import Admin
from tests.e2e.authsvc.idp_world import ABOTT, one_idp, start  # noqa: F401 (fixtures)
from tests.support import tokens
from tests.support.idp import BOB, BOBS_PASSWORD, REALM
from tests.support.programs import program, until

AUTH0 = json.loads((pathlib.Path(__file__).parents[2] / "support/auth0_openapi.json").read_text())["paths"]
TYPES = {"string": str, "boolean": bool, "integer": int, "object": dict, "array": list}


def violations(schema, value, closed):
    """What of VALUE is not as SCHEMA (the part of OpenAPI 3.1 that Auth0's document uses) has it; CLOSED: nothing else may be there."""
    if "oneOf" in schema:
        found = [violations(s, value, closed) for s in schema["oneOf"]]
        return [] if [] in found else min(found, key=len)
    wrong = [f"{n} is missing" for n in schema.get("required", []) if n not in value]
    for name, item in value.items():
        rule = schema["properties"].get(name)
        if rule is None:
            wrong += [f"{name} is not documented"] if closed else []
        elif not isinstance(item, TYPES[rule["type"]]) or ("enum" in rule and item not in rule["enum"]):
            wrong.append(f"{name}: {item!r}")
    return wrong


def check_request(path, headers, fields):
    content = AUTH0[path]["post"]["requestBody"]["content"]
    kind = headers["Content-Type"]
    assert kind in content, f"{path} takes {list(content)}, not {kind}"
    if fields.get("grant_type") == REALM:  # documented in the pages only: the password grant with a realm
        fields = dict(fields, grant_type="password")
    assert violations(content[kind]["schema"], fields, closed=True) == [], (path, fields)


def check_answer(path, status, body):
    responses = AUTH0[path]["post"]["responses"]
    if body == b"":
        return
    # Auth0 answers mfa_required and its like with 403, which the document has for some endpoints only.
    schema = responses.get(str(status), responses.get("400"))["content"]["application/json"]["schema"]
    assert violations(schema, body, closed=False) == [], (path, status, body)


def test_requests_and_the_stand_ins_answers_are_as_auth0_documents_them(directory, ending, one_idp):  # noqa: F811
    world = start(directory, ending, one_idp)
    t = world.login().tokens
    assert world.login(password="wrong").reason == "credentials_invalid"
    second = world.refresh(t["refresh_token"]).tokens
    assert world.door.userinfo(second["access_token"], domain=ABOTT).reason is None
    one_idp.users[BOB]["mfa"] = {"otp": "123456", "recovery": "ABCDEFGHIJKLMNOPQRSTUVWX", "binding": "654321"}
    for proof in ({"otp": "123456"}, {"recovery_code": "ABCDEFGHIJKLMNOPQRSTUVWX"}, {"oob_code": None, "binding_code": "654321"}, {"otp": "000000"}):
        token = world.login().mfa_token
        challenge = world.door.mfa_challenge(token, challenge_type="oob" if "oob_code" in proof else "otp", domain=ABOTT)
        proof = {k: v or challenge.tokens["oob_code"] for k, v in proof.items()}
        assert world.door.mfa_verify(token, **proof, domain=ABOTT).reason == ("mfa_invalid" if proof == {"otp": "000000"} else None)
    assert world.door.logout(refresh_token=second["refresh_token"], domain=ABOTT).reason is None
    until("the provider is told", lambda: one_idp.revoked)
    assert {p for p, _, _ in one_idp.requests} == {"/oauth/token", "/oauth/revoke", "/mfa/challenge"}
    assert {f["grant_type"].rpartition("/")[2] for f in one_idp.seen()} == {"password-realm", "refresh_token", "mfa-otp", "mfa-oob", "mfa-recovery-code"}
    for path, headers, fields in one_idp.requests:
        check_request(path, headers, fields)
    for path, status, body in one_idp.answers:
        check_answer(path, status, body)


def test_the_checker_itself_finds_what_is_wrong():
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    good = {"grant_type": "password", "client_id": "c", "username": "u", "password": "p"}
    check_request("/oauth/token", form, good)
    for bad in ({"client_id": None}, {"grant_type": "pass"}, {"passwort": "p"}):
        with pytest.raises(AssertionError):
            check_request("/oauth/token", form, {k: v for k, v in {**good, **bad}.items() if v is not None})
    with pytest.raises(AssertionError):
        check_request("/mfa/challenge", form, {"mfa_token": "t", "client_id": "c", "challenge_type": "otp"})  # JSON it is
    with pytest.raises(AssertionError):
        check_answer("/oauth/token", 200, {"access_token": "a"})


# --- how our client proves itself


def everything(world):
    t = world.login().tokens
    assert world.refresh(t["refresh_token"]).reason is None
    assert world.login(password="wrong").reason == "credentials_invalid"


def test_by_http_basic(directory, ending, one_idp):  # noqa: F811
    one_idp.secret = "with: colon, \u00fc and space"
    everything(start(directory, ending, one_idp, client_auth="client_secret_basic"))
    assert all("client_secret" not in f for f in one_idp.seen())


def test_by_a_signed_assertion_that_is_new_each_time(directory, ending, one_idp):  # noqa: F811
    one_idp.client_key = tokens.Key("RS256", "our-key")
    path = directory / "client.pem"
    path.write_bytes(one_idp.client_key.private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                                             serialization.NoEncryption()))
    os.chmod(path, 0o600)
    everything(start(directory, ending, one_idp, client_auth="private_key_jwt", client_secret_file=None, private_key_file=str(path),
                     private_key_id="our-key"))
    assert len(one_idp.assertions) == 3


def test_a_wrong_secret_is_the_operators_fault(directory, ending, one_idp):  # noqa: F811
    world = start(directory, ending, one_idp)
    one_idp.secret = "another"
    assert world.login().reason == "idp_misconfigured"
    assert '"idp-misconfigured"' in world.authsvc.process.log()


# --- CheckTenant


def findings(world, **fields):
    answer = Admin(world.authsvc).stub.CheckTenant(domain=ABOTT, **fields)
    return {f.setting: (("", "fine", "missing", "unknown")[f.state], f.text) for f in answer.findings}


def states(found):
    return {k: state for k, (state, _) in found.items()}


FINE = {"metadata": "fine", "keys": "fine", "client": "fine", "grant": "fine", "connection": "fine", "audience": "fine", "scope": "fine",
        "refresh grant": "fine", "offline access": "fine", "address trust": "unknown"}


def test_a_tenant_that_is_set_up_has_nothing_missing(directory, ending, one_idp):  # noqa: F811
    world = start(directory, ending, one_idp)
    assert states(findings(world)) == FINE
    with_login = findings(world, username=BOB.encode(), password=BOBS_PASSWORD.encode())
    assert states(with_login) == {**FINE, "login": "fine", "audience of tokens": "fine", "refresh token": "fine"}
    until("what the check got is given back", lambda: len(one_idp.revoked) == 1)


@pytest.mark.parametrize("status, state", [(200, "fine"), (500, "missing")])
def test_keys_that_are_on_their_way_are_waited_for(directory, ending, one_idp, status, state):  # noqa: F811
    asked = threading.Event()

    def slow(request):
        asked.wait(30)
        time.sleep(0.5)  # the check is on its way by now; if not, it finds what it would have waited for
        one_idp.send(request, one_idp.jwks() if status == 200 else {}, status)
    one_idp.script = slow
    world = start(directory, ending, one_idp)
    asked.set()
    assert states(findings(world))["keys"] == state


REST = {"grant": ["connection", "audience", "scope"], "client": ["grant", "connection", "audience", "scope"], "connection": ["audience", "scope"],
        "audience": ["scope"]}


@pytest.mark.parametrize("error, setting", [
    ((401, "access_denied", "Unauthorized"), "client"), ((401, "invalid_client", ""), "client"),
    ((403, "unauthorized_client", "Grant type 'http://auth0.com/oauth/grant-type/password-realm' not allowed for the client."), "grant"),
    ((400, "unsupported_grant_type", ""), "grant"),
    ((403, "unauthorized_client", "The connection is not enabled"), "connection"),
    ((500, "server_error", "Authorization server not configured with default connection."), "connection"),
    ((403, "access_denied", "Service not found: https://api.abott.com"), "audience")], ids=lambda v: str(v)[:40])
def test_each_missing_setting_is_named(directory, ending, one_idp, error, setting):  # noqa: F811
    world = start(directory, ending, one_idp)
    until("the provider is known", lambda: findings(world)["metadata"][0] == "fine")
    one_idp.answer_with(error[0], {"error": error[1], "error_description": error[2]}, times=1)
    found = states(findings(world))
    assert found == {**FINE, setting: "missing", **{s: "unknown" for s in REST[setting]}}


def test_what_the_tenants_own_settings_lack_is_named(directory, ending, one_idp):  # noqa: F811
    world = start(directory, ending, one_idp, scope="openid", forwarded_for=False, algorithms=["ES256"])
    found = states(findings(world))
    assert (found["offline access"], found["address trust"], found["keys"]) == ("missing", "missing", "missing")


@pytest.mark.parametrize("offered, state", [(["openid", "profile"], "missing"), (["openid", "offline_access"], "fine")])
def test_offline_access_that_the_provider_does_not_offer_is_named(directory, ending, one_idp, offered, state):  # noqa: F811
    one_idp.metadata = {"scopes_supported": offered}
    assert states(findings(start(directory, ending, one_idp))) == {**FINE, "offline access": state}


@pytest.mark.parametrize("given, state", [(False, "missing"), (True, "fine")])
def test_offline_access_that_the_api_does_not_allow_is_named_at_a_real_login(directory, ending, one_idp, given, state):  # noqa: F811
    one_idp.give_refresh = given
    found = findings(start(directory, ending, one_idp), username=BOB.encode(), password=BOBS_PASSWORD.encode())
    assert states(found)["login"] == "fine"
    assert found["refresh token"][0] == state and ("Allow Offline Access" in found["refresh token"][1]) == (not given)


def test_a_refresh_grant_that_is_not_allowed_is_named(directory, ending, one_idp):  # noqa: F811
    world = start(directory, ending, one_idp)

    def refuse_refresh(request):
        form = one_idp.seen()[-1]
        wrong = form["grant_type"] == "refresh_token"
        one_idp.send(request, {"error": "unauthorized_client" if wrong else "invalid_grant", "error_description": "Grant type not allowed" if wrong else ""}, 403)
    one_idp.token_script = refuse_refresh
    assert states(findings(world)) == {**FINE, "refresh grant": "missing"}


def test_a_provider_that_is_not_there_is_told_with_its_address(directory, ending, one_idp):  # noqa: F811
    one_idp.metadata = {"issuer": "https://somebody.else/"}
    world = start(directory, ending, one_idp)
    found = findings(world)
    assert states(found) == {"metadata": "missing"}
    assert one_idp.url in found["metadata"][1] and "another issuer" in found["metadata"][1]


def test_an_opaque_access_token_is_named_at_a_real_login(directory, ending, one_idp):  # noqa: F811
    world = start(directory, ending, one_idp)
    real = one_idp.grant

    def opaque(form):
        return dict(real(form), access_token="opaque-" + "x" * 30)
    one_idp.grant = opaque
    found = states(findings(world, username=BOB.encode(), password=BOBS_PASSWORD.encode()))
    assert found["login"] == "fine" and found["audience of tokens"] == "missing"


def test_cwctl_tells_an_operator_and_exits_by_it(directory, ending, one_idp):  # noqa: F811
    world = start(directory, ending, one_idp)
    until("the provider is known", lambda: findings(world)["metadata"][0] == "fine")

    def cwctl(*argv, typed=""):
        r = subprocess.run([str(program("cwctl/cwctl")), "tenants", "check", *argv, "--run-dir", str(directory)], input=typed, text=True,
                           capture_output=True, timeout=60)
        return r.returncode, r.stdout + r.stderr
    assert cwctl(ABOTT)[0] == 0
    code, text = cwctl("abott", "--username", BOB, "--password-file", "-", typed=BOBS_PASSWORD + "\n")
    assert code == 0 and "refresh token" in text and BOBS_PASSWORD not in text, text
    one_idp.secret = "another"
    code, text = cwctl(ABOTT)
    assert code == 1 and "MISSING  client" in text, text
    assert cwctl("clinicwave")[0] != 0  # its users are the database's
