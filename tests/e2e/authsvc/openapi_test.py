"""/auth/openapi.json, and that its bounds are the running program's. That every answer of the other tests is one of the document is checked
with each of them (doors.py); that its routes are those of the program, by tests/unit/authsvc/openapi_test.c."""
import json

import pytest

from tests.e2e.authsvc.doors import ANNA, HOST, PASSWORD, Rest, document
from tests.support import openapi
from tests.support.programs import source
from tests.support.stack import Authsvc

PATH = "/auth/openapi.json"
ROUTES = [(method, path, about) for method, path, _, about in openapi.operations()]
BODIES = [(path, about["requestBody"]) for method, path, about in ROUTES if "requestBody" in about]


def schema(body):
    return body["content"]["application/json"]["schema"]


@pytest.fixture(scope="module")
def rest(tmp_path_factory):
    authsvc = Authsvc(tmp_path_factory.mktemp("openapi"), document()).add_user("clinicwave", ANNA, PASSWORD).start()
    yield Rest(authsvc)
    authsvc.stop()


def get(rest, host=HOST, method="GET", **headers):
    return rest.client.request(method, PATH, headers={"Host": host, **{k.replace("_", "-"): v for k, v in headers.items()}})


def test_the_document_is_served_as_it_is_written(rest):
    answer = get(rest)
    assert answer.content == source("authsvc/rest/openapi.json").read_bytes()
    assert answer.headers["content-type"] == "application/json" and answer.headers["cache-control"] == "public, max-age=300"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert json.loads(answer.content)["openapi"] == "3.1.0"
    assert get(rest, host="other.localhost").content == answer.content
    assert get(rest, method="HEAD").headers["etag"] == answer.headers["etag"]


@pytest.mark.parametrize("field", ["{}", "W/{}", '"of another", {}', "*"])
def test_who_has_it_already_gets_no_second_copy(rest, field):
    etag = get(rest).headers["etag"]
    assert etag.startswith('"') and etag.endswith('"')
    answer = get(rest, If_None_Match=field.format(etag))
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)


@pytest.mark.parametrize("field", ['"of another"', "{}x", ",", '""'])
def test_who_has_another_one_gets_it(rest, field):
    assert get(rest, If_None_Match=field.format(get(rest).headers["etag"].strip('"'))).status_code == 200


def test_it_is_a_tenants(rest):
    assert rest.outcome(get(rest, host="unknown.localhost")).reason == "tenant_unknown"
    assert rest.outcome(rest.client.post(PATH, headers={"Host": HOST})).reason == "method_not_allowed"


def test_bounds_and_types_are_what_the_document_says(rest):
    """One more than the bound, another type, and what is required left out: each malformed; and with all in order: not."""
    token = rest.login().tokens["access_token"]
    for path, body in BODIES:
        members = schema(body)["properties"]
        bearer = {"Authorization": f"Bearer {token}"}
        right = {name: "x" for name in members}
        for name, about in members.items():
            assert about["type"] == "string"
            for value in ("x" * (about["maxLength"] + 1), 1, None, ["x"], {}):
                # what is refused for its form is refused before anything else is looked at
                assert rest.outcome(rest.post(path, {**right, name: value}, **bearer)).reason == "request_malformed", (path, name)
        for name in schema(body).get("required", []):
            absent = {k: v for k, v in right.items() if k != name}
            assert rest.outcome(rest.post(path, absent, **bearer)).reason == "request_malformed", (path, name)


def test_strings_of_the_greatest_length_are_taken(rest):
    for path, name in (("/auth/v1/login", "username"), ("/auth/v1/login", "password"), ("/auth/v1/refresh", "refresh_token"), ("/auth/v1/mfa/verify", "mfa_token"),
                       ("/auth/v1/password/reset", "new_password"), ("/auth/v1/password/reset", "code")):
        members = schema(dict(BODIES)[path])
        full = {**{r: "x" for r in members["required"]}, name: "x" * members["properties"][name]["maxLength"]}
        if path.endswith("verify"):
            full["otp"] = "123456"
        assert rest.outcome(rest.post(path, full)).reason not in (None, "request_malformed"), (path, name)


def test_who_must_send_a_token_is_what_the_document_says(rest):
    for method, path, about in ROUTES:
        security = about.get("security", [])
        if {} in security:
            continue  # a token, or else something in the body
        answer = rest.client.request(method, path.replace("{id}", "x"), json={"otp": "1", "password": "x"} if "requestBody" in about else None, headers={"Host": HOST})
        assert (answer.status_code == 401 and answer.json()["reason"] == "token_missing") == (security == [{"bearer": []}]), (method, path)
