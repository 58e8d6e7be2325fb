"""
usage: ./dev demo

ClinicWave's flows on the running stack, step by step, with what happens at each hop. Every answer is checked; the exit code
is 1 when one is not as it should be.

  1  the first request       login, token, verdict by signature
  2  the same token again    verdict from the sidecar's cache
  3  another organisation    abott's own identity provider opens the same door, and no other's
  4  an expired token        401 token_expired
  5  a tampered token        401 signature_invalid
  6  forged headers          at the gateway they are gone; at the service they prove nothing
  7  logout                  the session's tokens are refused from the next request on
  8  the sidecar dies        503, never 401 and never an allow; then it is back
"""
import base64
import json
import re
import time
import urllib.parse

import client
import house
import parts
from house import RUN, Failure, say


class Demo:
    def __init__(self):
        self.numbers = parts.saved_ports()
        self.stack = {p.name: p for p in parts.stack(self.numbers)}
        asleep = [name for name, p in self.stack.items() if not p.is_ready()]
        if asleep:
            raise Failure(f"not ready: {', '.join(asleep)}", "./dev up")
        self.gate = f"https://clinicwave.localhost:{self.numbers['HTTPS']}"
        self.abott = f"https://abott.localhost:{self.numbers['HTTPS']}"
        self.users = {u["username"]: u for u in json.loads((RUN / "demo-users.json").read_text())}
        self.ca, self.wrong = RUN / "ca.pem", 0

    def title(self, text):
        say(f"\n── {text}")

    def hop(self, where, what):
        say(f"   {where:13} {what}")

    def send(self, method, url, token=None, headers=None, body=None):
        sent = dict(headers or {})
        if token:
            sent["Authorization"] = f"Bearer {token}"
        return client.request(method, url, headers=sent, body=body, ca=self.ca)

    def expect(self, answer, status, reason=None, what=""):
        good = answer.status == status and (reason is None or answer.reason == reason)
        shown = f"{answer.status}" + (f" {answer.reason}" if answer.reason else "")
        say(f"   {'answer':13} {shown}  {what}" + ("" if good else f"   ✗ expected {status} {reason or ''}"))
        if not good:
            self.wrong += 1
            say(f"   {'':13} {answer.text[:300]}")
        return good

    def check(self, truth, what):
        say(f"   {'checked':13} {what}" + ("" if truth else "   ✗ not so"))
        self.wrong += not truth

    def metric(self, name):
        """One of the sidecar's metrics, summed over its labels."""
        text = client.request("GET", f"http://127.0.0.1:{self.numbers['SIDECAR']}/actuator/prometheus").text
        lines = [line for line in text.splitlines() if re.match(name + r"[{ ]", line)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def login(self, username):
        user = self.users[username]
        return self.send("POST", f"{self.gate}/auth/v1/login", body={"username": username, "password": user["password"]})

    def first_request(self):
        self.title("1  the first request")
        self.hop("browser", f"POST {self.gate}/auth/v1/login as anna@clinicwave.com")
        self.hop("gateway", "/auth has no rule and a static upstream: authsvc")
        self.hop("authsvc", "argon2id over the password, a session in SQLite, RS256 tokens minted")
        answer = self.login("anna@clinicwave.com")
        if not self.expect(answer, 200, what="access_token, id_token, refresh_token"):
            raise Failure("without a login there is no demo", "./dev logs authsvc")
        self.token = answer.json["access_token"]
        self.claims = json.loads(base64.urlsafe_b64decode(self.token.split(".")[1] + "=="))
        self.hop("", f"iss {self.claims['iss']}  sub {self.claims['sub']}  aud {self.claims['aud']}")
        self.hop("browser", "PUT /api/storage/files/hello.txt with the token")
        self.hop("gateway", "identity headers removed; the whole token travels to the sidecar, once")
        self.hop("sidecar", "tenant clinicwave by domain; signature by authsvc's key; audience, time; rule")
        self.hop("gateway", "allow: X-Auth-… added, an instance of STORAGE-SERVICE from the registry")
        self.hop("storage", "asks its own sidecar about the forwarded token, stores below the tenant")
        answer = self.send("PUT", f"{self.gate}/api/storage/files/hello.txt", self.token, {"Content-Type": "text/plain"}, b"hello, ClinicWave")
        self.expect(answer, answer.status if answer.status in (201, 204) else 201, what="stored")
        answer = self.send("GET", f"{self.gate}/api/storage/files/hello.txt", self.token)
        self.expect(answer, 200, what=repr(answer.text[:40]))
        self.check(answer.text == "hello, ClinicWave", "the file came back untouched")

    def eureka(self):
        """With the real Eureka server: the demo's service is found there, by everybody."""
        self.title("   the registry of the real Eureka server")
        self.hop("storage", "registered at its sidecar by a stream, that is all it knows")
        self.hop("sidecar", "has registered it at Eureka, sends its heartbeats, reads the others")
        apps = f"http://127.0.0.1:{self.numbers['REGISTRY']}/eureka/apps/STORAGE-SERVICE"
        deadline = time.monotonic() + 30
        while True:  # what was registered a moment ago is not in the server's cache yet
            answer = client.request("GET", apps, headers={"Accept": "application/json"})
            if answer.status == 200 or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        if self.expect(answer, 200, what=apps):
            instance = answer.json["application"]["instance"][0]
            self.check(instance["status"] == "UP", f"{instance['instanceId']} is {instance['status']}, health at {instance['healthCheckUrl']}")

    def cached_request(self):
        self.title("2  the same token again")
        before = self.metric("cw_sidecar_cache_hits_total")
        begun = time.monotonic()
        answer = self.send("GET", f"{self.gate}/api/storage/files", self.token)
        took = (time.monotonic() - begun) * 1000
        self.hop("gateway", "only the SHA-256 of the token travels")
        self.hop("sidecar", "found in the cache: no signature is checked; scope, audience and tenant are")
        self.expect(answer, 200, what=f"{took:.1f} ms with the TLS handshake")
        self.check(self.metric("cw_sidecar_cache_hits_total") > before, "the sidecar's counter of cache hits rose")

    def from_provider(self, client_suffix, **form):
        """The answer of abott's identity provider to a request for a token."""
        idp = json.loads((RUN / "etc/idp.json").read_text())
        form.update(client_id=idp["client"]["id"] + client_suffix, client_secret=idp["client"]["secret"])
        return client.request("POST", f"https://localhost:{self.numbers['IDP']}/oauth/token", ca=self.ca, body=urllib.parse.urlencode(form).encode(),
                              headers={"Content-Type": "application/x-www-form-urlencoded"})

    def other_tenant(self):
        self.title("3  another organisation, another identity provider")
        user = next(u for u in json.loads((RUN / "demo-users.json").read_text()) if u["tenant"] == "abott")
        idp = json.loads((RUN / "etc/idp.json").read_text())
        self.hop("browser", f"POST /auth/v1/login at abott.localhost for {user['username']}: the same door, the same answer")
        self.hop("authsvc", f"abott's passwords are its provider's: {idp['issuer']} (Auth0-style, password-realm grant)")
        answer = self.send("POST", f"{self.abott}/auth/v1/login", body={"username": user["username"], "password": user["password"]})
        if not self.expect(answer, 200, what="the provider's tokens, unchanged, and a refresh handle of authsvc's"):
            return
        session, token = answer.json, answer.json["access_token"]
        self.hop("sidecar", "tenant abott by domain; its issuer's keys were fetched over HTTPS")
        answer = self.send("GET", f"{self.abott}/api/storage/files", token)
        self.expect(answer, 200, what="at abott.localhost")
        self.check("hello.txt" not in answer.text, "clinicwave's file is not among abott's")
        answer = self.send("GET", f"{self.gate}/api/storage/files", token)
        self.expect(answer, 401, what="abott's token at clinicwave.localhost")
        answer = self.send("GET", f"{self.abott}/api/storage/files", self.token)
        self.expect(answer, 401, what="clinicwave's token at abott.localhost")
        self.hop("authsvc", "logout: the provider cannot call its access tokens back, so their names go to the sidecars")
        answer = self.send("POST", f"{self.abott}/auth/v1/logout", body={"refresh_token": session["refresh_token"]})
        self.expect(answer, 204, what="logged out")
        answer = self.send("GET", f"{self.abott}/api/storage/files", token)
        self.expect(answer, 401, "token_revoked", "the very next request")

    def expired(self):
        self.title("4  an expired token")
        self.hop("browser", "a token of abott's provider, rightly signed, that ended an hour ago")
        answer = self.from_provider("-expired", grant_type="client_credentials", scope="files:read")
        if not self.expect(answer, 200, what="from the identity provider"):
            return
        self.hop("sidecar", "key and signature are fine, `exp` is past; an expired token is never cached as good")
        answer = self.send("GET", f"{self.abott}/api/storage/files", answer.json["access_token"])
        self.expect(answer, 401, "token_expired", answer.headers.get("WWW-Authenticate", "")[:110])

    def tampered(self):
        self.title("5  a tampered token")
        head, _, signature = self.token.split(".")
        changed = dict(self.claims, sub="admin@clinicwave.com", roles=["admin"])
        forged = ".".join([head, base64.urlsafe_b64encode(json.dumps(changed).encode()).rstrip(b"=").decode(), signature])
        self.hop("attacker", "the same header and signature, other claims")
        self.hop("sidecar", "another digest, so not in the cache; the signature does not fit")
        answer = self.send("GET", f"{self.gate}/api/storage/files", forged)
        self.expect(answer, 401, "signature_invalid", answer.headers.get("WWW-Authenticate", "")[:90])

    def forged_headers(self):
        self.title("6  forged headers")
        forged = {"X-Auth-Tenant": "abott", "X-Auth-Subject": "bob@abott.com", "X_Auth_Roles": "admin"}
        self.hop("attacker", "X-Auth-Tenant: abott, X-Auth-Subject: bob@abott.com, no token")
        answer = self.send("GET", f"{self.gate}/api/storage/files", headers=forged)
        self.expect(answer, 401, "token_missing", "at the gateway")
        answer = self.send("GET", f"{self.gate}/api/storage/files/hello.txt", self.token, headers=forged)
        self.expect(answer, 200, what="with anna's token: still anna's tenant")
        self.check(answer.text == "hello, ClinicWave", "the file is clinicwave's, whatever the headers said")
        self.hop("attacker", f"straight to the service at 127.0.0.1:{self.numbers['STORAGE']}, past the gateway")
        answer = client.request("GET", f"http://127.0.0.1:{self.numbers['STORAGE']}/files", headers=forged)
        self.expect(answer, 401, what="the service believes tokens, not headers")

    def logout(self):
        self.title("7  logout")
        session = self.login("anna@clinicwave.com").json
        answer = self.send("GET", f"{self.gate}/api/storage/files", session["access_token"])
        self.expect(answer, 200, what="a second session of anna's")
        self.hop("browser", "POST /auth/v1/logout with its refresh token")
        self.hop("authsvc", "ends the session, tells the connected sidecars, waits for their word")
        answer = self.send("POST", f"{self.gate}/auth/v1/logout", body={"refresh_token": session["refresh_token"]})
        self.expect(answer, 204)
        answer = self.send("GET", f"{self.gate}/api/storage/files", session["access_token"])
        self.expect(answer, 401, "token_revoked", "the same token, not yet expired")
        answer = self.send("GET", f"{self.gate}/api/storage/files", self.token)
        self.expect(answer, 200, what="the first session goes on")

    def dead_sidecar(self):
        self.title("8  the sidecar dies")
        sidecar = self.stack["sidecar"]
        self.hop("", f"cw-sidecar (process {sidecar.pid}) is ended")
        sidecar.stop()
        try:
            begun = time.monotonic()
            answer = self.send("GET", f"{self.gate}/api/storage/files", self.token)
            took = time.monotonic() - begun
            self.hop("gateway", f"waits for the link until the request's deadline ({took:.2f} s), then gives up")
            self.expect(answer, 503, what=f"Retry-After: {answer.headers.get('Retry-After', '(none)')}; a good token is not called bad")
            self.check(answer.reason in ("validator_unavailable", "deadline_exceeded"), f"the reason says what is missing: {answer.reason}")
            answer = self.send("GET", f"{self.gate}/healthz")
            self.expect(answer, 503, what="/healthz: the gateway cannot decide")
        finally:
            begun = time.monotonic()
            sidecar.until_ready(sidecar.start())
        self.hop("sidecar", "started again: keys and tenants from disk, then from their sources")
        while True:
            answer = self.send("GET", f"{self.gate}/api/storage/files", self.token)
            if answer.status == 200 or time.monotonic() - begun > 30:
                break
            time.sleep(0.1)
        self.expect(answer, 200, what=f"{time.monotonic() - begun:.1f} s after the start, without touching the gateway")


def main():
    house.arguments(__doc__).parse_args()
    demo = Demo()
    with_eureka = [demo.eureka] if "eureka" in demo.stack else []
    for step in (demo.first_request, *with_eureka, demo.cached_request, demo.other_tenant, demo.expired, demo.tampered, demo.forged_headers, demo.logout,
                 demo.dead_sidecar):
        step()
    say("")
    if demo.wrong:
        raise Failure(f"{demo.wrong} answers were not as they should be", "./dev logs")
    say("every answer was as it should be")
    return house.PASSED


if __name__ == "__main__":
    house.main(main)
