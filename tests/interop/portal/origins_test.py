"""Pages of other origins in a real Chromium: a tenant's origins let them log in, call and read, errors included, and nobody else."""
import http.server
import json
import threading

import pytest

from tests.support import rpc
from tests.support.programs import until

HOST, USER = "acme.localhost", "mia@acme.com"
ASK = """async ([url, options]) => {
    try {
        const r = await fetch(url, options)
        const header = (name) => r.headers.get(name)
        return {status: r.status, body: await r.text(), id: header('x-request-id'), retry: header('retry-after'), challenge: header('www-authenticate')}
    } catch (e) {
        return {error: e.name}
    }
}"""


class Elsewhere:
    """A page of an origin that is not the gateway's."""

    def __init__(self, chromium):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(b"<!doctype html><title>Elsewhere</title>")

            def log_message(self, *args):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.origin = f"http://localhost:{self.server.server_address[1]}"
        self.context = chromium.new_context(ignore_https_errors=True)
        self.page = self.context.new_page()
        self.page.goto(self.origin)

    def ask(self, url, token=None, method="GET", body=None):
        headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **({"Content-Type": "application/json"} if body else {})}
        return self.page.evaluate(ASK, [url, {"method": method, "headers": headers, "body": json.dumps(body) if body else None}])

    def stop(self):
        self.context.close()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def page(chromium, ending):
    return ending(Elsewhere(chromium))


@pytest.fixture
def stranger(chromium, ending):
    return ending(Elsewhere(chromium))


@pytest.fixture
def admin(route):
    return rpc.Stub(rpc.channel(route.directory / "authsvc-admin.sock"), "clinicwave.identity.v1.AdminService")


def setting(name, *values):
    return rpc.message("clinicwave.identity.v1.Setting")(name=name, values=values)


def test_a_tenants_pages_and_nobody_elses(route, admin, page, stranger):
    base = f"https://{HOST}:{route.ports['HTTPS']}"
    admin.CreateTenant(name="acme", settings=[
        setting("domains", HOST), setting("issuer", base), setting("audiences", "https://api.acme.com"), setting("algorithm", "ES256"),
        setting("clients[0].id", "portal"), setting("clients[0].scopes", "openid", "files:read", "files:write"), setting("origins", page.origin)])
    admin.CreateUser(tenant="acme", user=rpc.message("clinicwave.identity.v1.ManagedUser")(username=USER), password=route.password.encode())
    login = lambda who, password=route.password: who.ask(f"{base}/auth/v1/login", method="POST", body={"username": USER, "password": password})

    # Before that the preflight fails, and nothing is sent that would count as an attempt.
    wrong = until("its origin counts", lambda: (a := login(page, "wrong")).get("status") == 401 and a)
    assert json.loads(wrong["body"])["reason"] == "credentials_invalid"
    answer = login(page)
    assert answer["status"] == 200 and answer["id"]
    token = json.loads(answer["body"])["access_token"]
    until("the token is known", lambda: page.ask(f"{base}/api/storage/files", token).get("status") == 200)
    missing = page.ask(f"{base}/api/storage/files")
    assert missing["status"] == 401 and missing["challenge"].startswith("Bearer") and json.loads(missing["body"])["reason"] == "token_missing"

    assert login(stranger) == stranger.ask(f"{base}/api/storage/files", token) == {"error": "TypeError"}
    elsewhere = f"https://clinicwave.localhost:{route.ports['HTTPS']}/api/storage/files"
    assert page.ask(elsewhere, token) == {"error": "TypeError"}, "another tenant's domain"

    route.sidecar.kill()
    try:
        answer = page.ask(f"{base}/api/storage/files", token)
        assert answer["status"] == 503 and answer["retry"] and json.loads(answer["body"])["reason"] in ("validator_unavailable", "deadline_exceeded")
    finally:
        route.sidecar.start()
    until("it decides again", lambda: page.ask(f"{base}/api/storage/files", token).get("status") == 200)

    admin.UpdateTenant(name="acme", settings=[setting("origins", stranger.origin)])
    until("the other page is the tenant's now", lambda: stranger.ask(f"{base}/api/storage/files", token).get("status") == 200)
    assert page.ask(f"{base}/api/storage/files", token) == {"error": "TypeError"}
