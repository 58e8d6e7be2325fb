"""The whole route, everything real: login → token → gateway → sidecar → storage-service found in the registry."""
import base64
import json

import httpx
import pytest

from tests.support import tokens
from tests.support.discovery import lookup
from tests.support.eureka import Answering, instance
from tests.support.programs import until

STORAGE = "/api/storage/files"


def claims_of(token):
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))


@pytest.fixture
def anna(route):
    return route.token("anna@clinicwave.com")


def test_a_login_answers_all_that_was_promised(route):
    answer = route.login()
    assert answer.status == 200
    body = answer.json
    assert {"access_token", "id_token", "refresh_token", "token_type", "expires_in", "expires_at", "refresh_expires_in", "scope", "session_id"} <= set(body)
    claims = claims_of(body["access_token"])
    assert claims["iss"] == f"https://clinicwave.localhost:{route.ports['HTTPS']}"
    assert claims["tenant"] == "clinicwave" and claims["roles"] == ["doctor"] and claims["sid"] == body["session_id"]
    assert {"sub", "aud", "exp", "iat", "jti", "client_id", "scope"} <= set(claims)
    assert claims["exp"] == body["expires_at"] and claims["exp"] - claims["iat"] == body["expires_in"]
    header = json.loads(base64.urlsafe_b64decode(body["access_token"].split(".")[0] + "=="))
    assert (header["typ"], header["alg"]) == ("at+jwt", "RS256")


def test_login_over_http_is_sent_to_https(route):
    answer = route.gateway.post("/auth/v1/login", json={"username": "anna@clinicwave.com", "password": route.password})
    assert answer.status == 308
    assert answer.headers["location"] == f"https://clinicwave.localhost:{route.ports['HTTPS']}/auth/v1/login"


@pytest.mark.parametrize("size", [17 << 10, 1 << 20, 10 << 20])
def test_a_login_that_is_too_large_is_told_so(route, size):
    """Not "the service failed": a body that nobody reads to its end resets the connection behind the gateway."""
    answer = route.gateway.request("POST", "/auth/v1/login", https=True, json={"username": "anna@clinicwave.com", "password": "x" * size})
    assert (answer.status, answer.reason) == (413, "request_too_large")


def test_a_file_goes_in_and_comes_back_untouched(route, anna):
    data = bytes(range(256)) * 64
    put = route.gateway.put(f"{STORAGE}/picture.bin", anna, content=data, headers={"Content-Type": "application/octet-stream"})
    assert put.status == 201
    assert route.gateway.put(f"{STORAGE}/picture.bin", anna, content=data).status == 204
    got = route.gateway.get(f"{STORAGE}/picture.bin", anna)
    assert got.response.content == data
    assert [f["name"] for f in route.gateway.get(STORAGE, anna).json] == ["picture.bin"]
    assert route.gateway.request("DELETE", f"{STORAGE}/picture.bin", anna).status == 204
    assert route.gateway.get(f"{STORAGE}/picture.bin", anna).status == 404


def test_http2_says_the_same(route, anna):
    answer = route.gateway.get(STORAGE, anna, http2=True)
    assert (answer.status, answer.http_version) == (200, "HTTP/2")
    refused = route.gateway.get(STORAGE, http2=True)
    assert (refused.status, refused.reason) == (401, "token_missing")


def test_refusals_carry_reason_and_challenge(route, anna):
    tampered = route.gateway.get(STORAGE, tokens.tampered(anna, roles=["admin"]))
    assert (tampered.status, tampered.reason) == (401, "signature_invalid")
    assert tampered.headers["www-authenticate"].startswith("Bearer ") and 'error="invalid_token"' in tampered.headers["www-authenticate"]
    assert tampered.headers["content-type"] == "application/problem+json"
    assert (route.gateway.get(STORAGE, anna, host="nobody.example").status) == 421
    nowhere = route.gateway.get("/api/nobody/x", anna)
    assert (nowhere.status, nowhere.reason) == (404, "route_unknown")


def test_a_wrong_password_and_a_stranger_sound_the_same(route):
    wrong = route.login(password="not the password")
    stranger = route.login(username="nobody@clinicwave.com")
    assert (wrong.status, wrong.reason) == (stranger.status, stranger.reason) == (401, "credentials_invalid")
    assert wrong.json["detail"] == stranger.json["detail"]


def test_refresh_gives_a_new_token_that_opens_the_door(route, anna):
    first = route.login().json
    answer = route.gateway.request("POST", "/auth/v1/refresh", https=True, json={"refresh_token": first["refresh_token"]})
    assert answer.status == 200 and answer.json["refresh_token"] != first["refresh_token"]
    assert route.gateway.get(STORAGE, answer.json["access_token"]).status == 200


def test_metadata_names_keys_that_verify_the_token(route, anna):
    metadata = route.gateway.get("/.well-known/openid-configuration", https=True).json
    assert metadata["issuer"] == claims_of(anna)["iss"]
    path = metadata["jwks_uri"].split(str(route.ports["HTTPS"]), 1)[1]
    kid = json.loads(base64.urlsafe_b64decode(anna.split(".")[0] + "=="))["kid"]
    assert kid in [k["kid"] for k in route.gateway.get(path, https=True).json["keys"]]


def test_forged_headers_prove_nothing_at_the_service_itself(route, anna):
    direct = httpx.get(f"http://127.0.0.1:{route.ports['STORAGE']}/files", trust_env=False,
                       headers={"Host": "clinicwave.localhost", "X-Auth-Tenant": "clinicwave", "X-Auth-Subject": "anna"})
    assert direct.status_code == 401


def test_a_dead_sidecar_is_503_and_back_without_touching_the_gateway(route, anna):
    route.sidecar.kill()
    answer = route.gateway.get(STORAGE, anna)
    assert answer.status == 503 and answer.headers["retry-after"]
    assert answer.reason in ("validator_unavailable", "deadline_exceeded")
    assert route.gateway.get("/healthz").status == 503
    route.sidecar.start()
    until("the token is good again", lambda: route.gateway.get(STORAGE, anna).status == 200, 30)


def test_a_restarted_authsvc_keeps_its_keys_and_sessions(route, anna):
    session = route.login().json
    route.authsvc.stop()
    assert route.gateway.get(STORAGE, anna).status == 200, "a token is judged without authsvc"
    route.authsvc.start().until_ready(lambda: route.ready("AUTHSVC"))
    assert route.gateway.request("POST", "/auth/v1/refresh", https=True, json={"refresh_token": session["refresh_token"]}).status == 200
    assert route.gateway.get(STORAGE, anna).status == 200


def test_a_reloaded_gateway_loses_no_request(route, anna):
    route.gateway.reload()
    assert [route.gateway.get(STORAGE, anna).status for _ in range(30)] == [200] * 30


def test_pages_of_the_tenants_origins_may_log_in_and_call(route, anna):
    page = {"Origin": "http://localhost:5173"}  # deploy/demo/authsvc.yaml
    asks = {**page, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    for path in ("/auth/v1/login", "/api/storage/files"):
        answer = route.gateway.request("OPTIONS", path, https=True, headers=asks)
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (204, page["Origin"])
        assert route.gateway.request("OPTIONS", path, https=True, host="abott.localhost", headers=asks).headers.get("access-control-allow-origin") is None
    wrong = route.login(password="wrong", headers=page)
    assert (wrong.reason, wrong.headers["access-control-allow-origin"]) == ("credentials_invalid", page["Origin"])
    answer = route.gateway.get(STORAGE, anna, headers=page)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, page["Origin"])
    other = route.login(headers={"Origin": "https://evil.example"})
    assert other.reason == "origin_forbidden" and "access-control-allow-origin" not in other.headers


def test_the_openapi_document_comes_through_the_gateway(route):
    answer = route.gateway.get("/auth/openapi.json", https=True)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json["servers"] == [{"url": "/", "description": "The tenant's own origin."}]  # whichever tenant it is read from
    login = answer.json["paths"]["/auth/v1/login"]["post"]
    assert login["operationId"] == "login" and str(route.login(password="wrong").status) in login["responses"]
    assert route.gateway.get("/auth/openapi.json", https=True, headers={"If-None-Match": answer.headers["etag"]}).status == 304
    assert route.gateway.get("/auth/openapi.json", https=True, host="unknown.localhost").status == 421


def test_all_parts_are_in_the_registry(route):
    def statuses():
        answer = httpx.get(f"http://127.0.0.1:{route.ports['REGISTRY']}/eureka/apps", headers={"Accept": "application/json"}, trust_env=False)
        return {a["name"]: [i["status"] for i in a["instance"]] for a in answer.json()["applications"]["application"]}
    until("they are up", lambda: statuses() == {"AUTHSVC": ["UP"], "GATEWAY": ["UP"], "STORAGE-SERVICE": ["UP"]})


def test_logins_go_to_authsvc_alone_whoever_registers_under_its_name(route, ending):
    impostor = ending(Answering("give me your password"))
    registry = f"http://127.0.0.1:{route.ports['REGISTRY']}/eureka/apps/AUTHSVC"
    body = {"instance": instance("AUTHSVC", "impostor", impostor.server_port)}
    assert httpx.post(registry, json=body, trust_env=False).status_code == 204
    found = lookup(route.sidecar, "authsvc", socket=route.directory / "admin.sock").applications[0].instances
    assert ("impostor", "") in {(i.instance_id, i.unreachable) for i in found}  # it is there, UP and within reach
    for _ in range(6):
        assert route.login().json["access_token"]
        assert route.gateway.get("/.well-known/openid-configuration", https=True).json["issuer"]
    assert httpx.delete(f"{registry}/impostor", trust_env=False).status_code == 200
