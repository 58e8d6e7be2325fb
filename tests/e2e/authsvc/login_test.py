"""Login and refresh, the same cases over REST and gRPC."""
import concurrent.futures
import json
import time

import httpx
import pytest
from jwcrypto import jwk, jws

from tests.e2e.authsvc.doors import ANNA, DOORS, HOST, ISSUER, PASSWORD, Rest


def jwks(authsvc, host=HOST):
    return jwk.JWKSet.from_json(httpx.get(f"http://127.0.0.1:{authsvc.rest}/.well-known/jwks.json", headers={"Host": host}).text)


def claims(authsvc, token, host=HOST):
    """Header and claims of a token, verified with the keys that authsvc publishes."""
    signed = jws.JWS()
    signed.deserialize(token)
    signed.verify(jwks(authsvc, host).get_key(signed.jose_header["kid"]))
    return signed.jose_header, json.loads(signed.payload)


def test_the_right_password_gets_all_tokens(door, authsvc):
    before = int(time.time())
    outcome = door.login()
    assert outcome.reason is None, outcome
    t = outcome.tokens
    assert t["token_type"] == "Bearer" and t["expires_in"] == 300 and t["session_id"]
    assert before + 300 <= t["expires_at"] <= before + 310
    assert 0 < t["refresh_expires_in"] <= 8 * 3600
    assert t["scope"].split() == ["openid", "profile", "email", "offline_access"]
    header, access = claims(authsvc, t["access_token"])
    assert header["typ"] == "at+jwt" and header["alg"] == "RS256"
    assert set(access) == {"iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope", "tenant", "sid", "roles", "permissions"}
    assert access["iss"] == ISSUER and access["aud"] == "https://api.clinicwave.com" and access["exp"] == t["expires_at"]
    assert access["tenant"] == "clinicwave" and access["sid"] == t["session_id"] and access["roles"] == ["doctor", "auditor"]
    assert access["client_id"] == "portal"
    header, identity = claims(authsvc, t["id_token"])
    assert header["typ"] == "JWT"
    assert identity["sid"] == t["session_id"]
    assert identity["aud"] == "portal" and identity["sub"] == access["sub"] and identity["email"] == ANNA and identity["roles"] == ["doctor", "auditor"]


def test_every_login_is_a_session_of_its_own(door, authsvc):
    a, b = door.login().tokens, door.login().tokens
    assert a["session_id"] != b["session_id"] and a["refresh_token"] != b["refresh_token"]
    assert claims(authsvc, a["access_token"])[1]["jti"] != claims(authsvc, b["access_token"])[1]["jti"]


@pytest.mark.parametrize("username, password", [
    (ANNA, "wrong"), (ANNA, PASSWORD + " "), (ANNA, PASSWORD.upper()), (ANNA, ""), ("nobody@clinicwave.com", PASSWORD), ("", PASSWORD), ("", ""),
    ("' OR '1'='1", "' OR '1'='1"), ("anna@clinicwave.com'--", PASSWORD)])
def test_a_login_that_fails_says_nothing_more(door, username, password):
    outcome = door.login(username, password)
    wrong = door.login(ANNA, "wrong")
    assert outcome.reason == "credentials_invalid"
    assert (outcome.status, outcome.text, outcome.retry_after) == (wrong.status, wrong.text, wrong.retry_after)


def test_a_user_name_is_found_in_any_case_and_with_blanks_around(door):
    assert door.login("  Anna@ClinicWave.COM ").reason is None


def test_a_tenant_is_chosen_by_its_domain_and_nothing_crosses(door):
    assert door.login(domain="CLINICWAVE.com.").reason is None
    assert door.login(domain="unknown.localhost").reason == "tenant_unknown"
    assert door.login(domain="other.localhost").reason == "credentials_invalid"
    token = door.login().tokens["refresh_token"]
    assert door.refresh(token, domain="other.localhost").reason == "refresh_invalid"
    assert door.refresh(token).reason is None


def test_a_client_gets_its_own_scopes_only(door):
    assert door.login(client="mobile").tokens["scope"] == "openid email"
    assert door.login(client="mobile", scopes=["openid", "admin"]).tokens["scope"] == "openid"
    assert door.login(client="nobody").reason == "client_unknown"
    token = door.login(client="mobile").tokens["refresh_token"]
    assert door.refresh(token).reason == "refresh_invalid"  # bound to the client that it was given to
    assert door.refresh(token, client="mobile").reason is None


def test_a_refresh_rotates_and_keeps_the_session(door, authsvc):
    first = door.login().tokens
    second = door.refresh(first["refresh_token"])
    assert second.reason is None
    assert set(second.tokens) == set(first)
    assert second.tokens["session_id"] == first["session_id"] and second.tokens["scope"] == first["scope"]
    assert second.tokens["refresh_token"] != first["refresh_token"] and second.tokens["access_token"] != first["access_token"]
    a, b = claims(authsvc, first["id_token"])[1], claims(authsvc, second.tokens["id_token"])[1]
    assert a["auth_time"] == b["auth_time"] and a["sub"] == b["sub"]
    assert door.refresh(second.tokens["refresh_token"]).reason is None


def test_a_lost_answer_is_given_again_and_many_tabs_share_one_successor(door):
    token = door.login().tokens["refresh_token"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda _: door.refresh(token), range(8)))
    assert {o.reason for o in outcomes} == {None}
    assert len({o.tokens["refresh_token"] for o in outcomes}) == 1


def test_a_used_token_ends_its_session_and_no_other(door, authsvc):
    other = door.login().tokens
    first = door.login().tokens
    second = door.refresh(first["refresh_token"]).tokens
    third = door.refresh(second["refresh_token"]).tokens
    assert door.refresh(first["refresh_token"]).reason == "refresh_invalid"  # two generations old: stolen
    assert door.refresh(third["refresh_token"]).reason == "refresh_invalid"
    assert door.refresh(other["refresh_token"]).reason is None
    assert '"refresh-token-reused"' in authsvc.process.log()


@pytest.mark.parametrize("token", ["", "x", "cwr_", "cwr_" + "A" * 70, "cwr_" + "A" * 4000, "eyJhbGciOiJub25lIn0.e30."])
def test_what_is_no_refresh_token_is_invalid(door, token):
    assert door.refresh(token).reason == "refresh_invalid"


def test_a_guessed_token_of_a_known_family_ends_nothing(door):
    token = door.login().tokens["refresh_token"]
    forged = token[:-4] + ("AAAA" if not token.endswith("AAAA") else "BAAA")
    assert door.refresh(forged).reason == "refresh_invalid"
    assert door.refresh(token).reason is None


def test_a_session_of_one_door_goes_on_at_the_other(authsvc):
    rest, grpc = DOORS["rest"](authsvc), DOORS["grpc"](authsvc)
    token = rest.login().tokens["refresh_token"]
    token = grpc.refresh(token).tokens["refresh_token"]
    assert rest.refresh(token).reason is None


def test_neither_passwords_nor_tokens_are_in_the_log(door, authsvc):
    outcome = door.login()
    door.login(ANNA, "a-wrong-password")
    door.refresh(outcome.tokens["refresh_token"])
    log = authsvc.process.log()
    assert "login-succeeded" in log and "login-failed" in log
    for secret in (PASSWORD, "a-wrong-password", outcome.tokens["refresh_token"][4:], outcome.tokens["access_token"], outcome.tokens["id_token"]):
        assert secret not in log


def test_es256_tenants_and_keys_of_their_own(start):
    authsvc = start()
    a, b = jwks(authsvc), jwks(authsvc, "other.localhost")
    kinds = [[json.loads(k.export_public())["kty"] for k in s["keys"]] for s in (a, b)]
    assert kinds == [["RSA"], ["EC"]]


def test_discovery_names_only_what_works(authsvc):
    answer = httpx.get(f"http://127.0.0.1:{authsvc.rest}/.well-known/openid-configuration", headers={"Host": HOST})
    metadata = answer.json()
    assert answer.status_code == 200 and "max-age" in answer.headers["cache-control"]
    assert metadata["issuer"] == ISSUER
    endpoints = {k: v for k, v in metadata.items() if k.endswith(("_endpoint", "_uri"))}
    for url in endpoints.values():
        assert url.startswith(ISSUER + "/")
        path = url[len(ISSUER):]
        assert httpx.get(f"http://127.0.0.1:{authsvc.rest}{path}", headers={"Host": HOST}).status_code != 404
    assert "password" not in metadata["grant_types_supported"]  # RFC 9700: nobody is invited to it


def test_an_alias_answers_with_the_one_issuer(authsvc):
    answer = httpx.get(f"http://127.0.0.1:{authsvc.rest}/.well-known/openid-configuration", headers={"Host": "clinicwave.com"})
    assert answer.json()["issuer"] == ISSUER


def test_keys_and_sessions_survive_a_restart(start):
    authsvc = start()
    door = Rest(authsvc)
    tokens = door.login().tokens
    assert authsvc.stop() == 0
    authsvc.start()
    door = Rest(authsvc)
    claims(authsvc, tokens["access_token"])
    assert door.refresh(tokens["refresh_token"]).reason is None
