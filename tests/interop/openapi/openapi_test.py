"""schemathesis asks the running authsvc whether /auth/openapi.json is true: it makes requests out of the document, good and broken ones, and holds
status, media type, headers and schema of each answer to it. OpenAPI's own validator judges the document itself."""
import json
import os
import pathlib
import re
import subprocess
import sys

import httpx
import pytest

from tests.e2e.authsvc.doors import ANNA, HOST, PASSWORD, document
from tests.support.programs import CHECKOUT
from tests.support.stack import Authsvc

PYTHON = (pathlib.Path(os.environ.get("CW_DEPS") or CHECKOUT / ".run/deps") / "openapi/python").resolve()
HOOKS = pathlib.Path(__file__).resolve().parent / "hooks.py"
EXAMPLES = 8  # of each operation, beside those of its bounds

# Left out is positive_data_acceptance: what fits the schema may still be refused with 400, a client that nobody knows, say.
CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance", "response_schema_conformance",
          "negative_data_rejection", "missing_required_header", "unsupported_method", "allow_header_conformance", "use_after_free",
          "ensure_resource_availability", "ignored_auth")

# 413 is a rejection, too, which schemathesis does not know.
SETTINGS = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 503]
"""

# Nothing is throttled for long: whether it is, other tests look at.
OPEN = {"throttle": {k: {"burst": 100, "per-minute": 100000} for k in ("account", "address", "tenant", "mfa")}}


@pytest.fixture
def authsvc(directory, ending, request):
    url = request.getfixturevalue("postgresql").fresh() if getattr(request, "param", "sqlite") == "postgresql" else None
    return ending(Authsvc(directory, document(authsvc=OPEN), url).add_user("clinicwave", ANNA, PASSWORD, "doctor")).start()


def served(authsvc):
    return httpx.get(f"http://127.0.0.1:{authsvc.rest}/auth/openapi.json", headers={"Host": HOST}, timeout=60).json()


def run(argv, directory, **environment):
    """With what scripts/deps.sh has brought, and nothing kept from one run to the next."""
    env = {"PATH": os.environ["PATH"], "HOME": str(directory), "LC_ALL": "C.UTF-8", "PYTHONPATH": str(PYTHON), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    r = subprocess.run([sys.executable, *argv], cwd=directory, env=env, capture_output=True, text=True, timeout=800)
    assert r.returncode == 0, f"{r.stdout[-12000:]}\n{r.stderr[-3000:]}"
    return r.stdout


def ask(authsvc, described, phases, **environment):
    path = authsvc.directory / "openapi.json"
    path.write_text(json.dumps(described))
    (authsvc.directory / "schemathesis.toml").write_text(SETTINGS)
    return run(["-m", "schemathesis.cli", "run", path, "--url", f"http://127.0.0.1:{authsvc.rest}", "-H", f"Host: {HOST}", "--phases", phases,
                "--checks", ",".join(CHECKS), "--max-examples", str(EXAMPLES), "--generation-deterministic", "--continue-on-failure", "--no-color",
                "--request-timeout", "60", "--suppress-health-check", "all", "--warnings", "off"], authsvc.directory, **environment)


def test_the_document_is_openapi_3_1(authsvc):
    path = authsvc.directory / "served.json"
    path.write_text(json.dumps(served(authsvc)))
    assert "OK" in run(["-m", "openapi_spec_validator", "--schema", "3.1.0", path], authsvc.directory)


def test_a_wrong_document_is_found_out(authsvc):
    """The twin: schemathesis really looks."""
    described = served(authsvc)
    described["paths"] = {"/.well-known/jwks.json": described["paths"]["/.well-known/jwks.json"]}
    described["components"]["schemas"]["KeySet"]["properties"]["keys"]["maxItems"] = 0
    with pytest.raises(AssertionError, match="violates schema"):
        ask(authsvc, described, "fuzzing")


def test_without_a_token_every_answer_is_as_documented(authsvc):
    ask(authsvc, served(authsvc), "coverage,fuzzing")


@pytest.mark.parametrize("authsvc", ["sqlite", "postgresql"], indirect=True)
def test_with_a_token_every_answer_is_as_documented(authsvc):
    """Somebody who may log in, and goes on with what is answered: refresh, logout, the end of a session."""
    described = served(authsvc)
    login, totp = (described["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"] for path in ("/auth/v1/login", "/auth/v1/mfa/totp"))
    login["properties"] = {"username": {"type": "string", "enum": [ANNA]}, "password": {"type": "string", "enum": [PASSWORD]}}
    totp["properties"], totp["required"] = {"password": {"type": "string", "enum": [PASSWORD]}}, ["password"]
    ask(authsvc, described, "coverage,fuzzing,stateful", SCHEMATHESIS_HOOKS=str(HOOKS), LOGIN_URL=f"http://127.0.0.1:{authsvc.rest}/auth/v1/login",
        LOGIN_HOST=HOST, LOGIN_USERNAME=ANNA, LOGIN_PASSWORD=PASSWORD)
    metrics = httpx.get(f"http://127.0.0.1:{authsvc.management}/actuator/prometheus", timeout=60).text
    for route in ("/auth/v1/login", "/auth/v1/refresh", "/auth/v1/logout", "/auth/v1/userinfo", "/auth/v1/sessions", "/auth/v1/mfa", "/auth/v1/mfa/totp"):
        assert re.search(rf'http_requests_total{{[^}}]*route="{re.escape(route)}"[^}}]*status="20[04]"', metrics), f"nothing was right for {route}:\n{metrics}"
