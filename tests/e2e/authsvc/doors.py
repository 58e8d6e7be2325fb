"""One set of cases for both doors of authsvc: what REST and gRPC answer, in one shape."""
import dataclasses
import json

import grpc
import httpx

from tests.support import rpc

HOST = "clinicwave.localhost"
ISSUER = "https://clinicwave.localhost:8443"
ANNA = "anna@clinicwave.com"
PASSWORD = "correct horse battery staple"

# argon2id as cheap as it gets: these tests are about everything else.
CHEAP = {"password": {"memory": "8KiB", "iterations": 1}}


def document(**changes):
    """A configuration with the tenants clinicwave and other."""
    authsvc = {**CHEAP, **changes.pop("authsvc", {})}
    clinicwave = {"name": "clinicwave", "domains": ["clinicwave.com", HOST], "issuer": ISSUER,
                  "audiences": ["https://api.clinicwave.com"], "access-token-life": "5m",
                  "clients": [{"id": "portal", "origins": ["https://portal.clinicwave.com"]}, {"id": "mobile", "scopes": ["openid", "email"]}]}
    clinicwave.update(changes)
    other = {"name": "other", "domains": ["other.localhost"], "issuer": "https://other.localhost:8443",
             "audiences": ["https://api.other.com"], "algorithm": "ES256", "clients": [{"id": "portal"}]}
    return {"authsvc": authsvc, "tenants": [clinicwave, other]}


@dataclasses.dataclass
class Outcome:
    """REASON is None for a success, then TOKENS is the answer."""
    reason: str | None
    tokens: dict | None = None
    status: object = None
    retry_after: float | None = None
    text: str = ""


class Rest:
    name = "rest"

    def __init__(self, authsvc):
        self.authsvc = authsvc
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{authsvc.rest}", timeout=20)

    def post(self, path, body, host=HOST, **headers):
        content = body if isinstance(body, bytes) else json.dumps(body)
        headers = {"Host": host, "Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        return self.client.post(path, content=content, headers={k: v for k, v in headers.items() if v is not None})

    def outcome(self, answer):
        retry = answer.headers.get("retry-after")
        if answer.status_code == 200:
            return Outcome(None, answer.json(), 200)
        assert answer.headers["content-type"] == "application/problem+json", answer.text
        problem = answer.json()
        assert problem["status"] == answer.status_code and problem["trace_id"] and problem["title"]
        return Outcome(problem["reason"], None, answer.status_code, float(retry) if retry else None, problem["title"] + problem["detail"])

    def login(self, username=ANNA, password=PASSWORD, domain=HOST, client=None, scopes=None, address=None):
        body = {"username": username, "password": password}
        if client is not None:
            body["client_id"] = client
        if scopes is not None:
            body["scope"] = " ".join(scopes)
        return self.outcome(self.post("/auth/v1/login", body, host=domain, X_Forwarded_For=address))

    def refresh(self, token, domain=HOST, client=None):
        body = {"refresh_token": token}
        if client is not None:
            body["client_id"] = client
        return self.outcome(self.post("/auth/v1/refresh", body, host=domain))

    def send(self, method, path, token=None, body=None, domain=HOST):
        headers = {"Host": domain, **({"Authorization": f"Bearer {token}"} if token else {})}
        answer = self.client.request(method, path, headers=headers, json=body)
        if answer.status_code == 204:
            assert not answer.content
            return Outcome(None, {}, 204)
        return self.outcome(answer)

    def logout(self, token=None, refresh_token=None, domain=HOST):
        return self.send("POST", "/auth/v1/logout", token, {"refresh_token": refresh_token} if refresh_token is not None else None, domain)

    def userinfo(self, token, domain=HOST):
        return self.send("GET", "/auth/v1/userinfo", token, domain=domain)

    def sessions(self, token, domain=HOST):
        return self.send("GET", "/auth/v1/sessions", token, domain=domain)

    def end_session(self, token, session_id, domain=HOST):
        return self.send("DELETE", f"/auth/v1/sessions/{session_id}", token, domain=domain)


class Grpc:
    name = "grpc"

    def __init__(self, authsvc):
        self.stub = authsvc.stub()

    def outcome(self, call, read=lambda answer: answer.tokens):
        try:
            answer = read(call())
        except grpc.RpcError as e:
            details = dict(e.trailing_metadata()).get("grpc-status-details-bin")
            assert details, f"{e.code()} without details: {e.details()}"
            reason, retry = None, None
            for d in rpc.message("google.rpc.Status").FromString(details).details:
                kind = d.type_url.rsplit("/", 1)[1]
                inside = rpc.message(kind).FromString(d.value)
                if kind == "google.rpc.ErrorInfo":
                    reason = inside.reason
                if kind == "google.rpc.RetryInfo":
                    retry = inside.retry_delay.seconds + inside.retry_delay.nanos / 1e9
            return Outcome(reason, None, e.code(), retry, e.details())
        if not hasattr(answer, "DESCRIPTOR"):
            return Outcome(None, answer, grpc.StatusCode.OK)
        tokens = {f.name: getattr(answer, f.name) for f in answer.DESCRIPTOR.fields}
        return Outcome(None, {k: v.decode() if isinstance(v, bytes) else v for k, v in tokens.items()}, grpc.StatusCode.OK)

    def login(self, username=ANNA, password=PASSWORD, domain=HOST, client=None, scopes=None, address=None):
        return self.outcome(lambda: self.stub.Login(domain=domain, username=username.encode(), password=password.encode(), client_id=client or "",
                                                    scopes=scopes or [], client_address=address or ""))

    def refresh(self, token, domain=HOST, client=None):
        return self.outcome(lambda: self.stub.Refresh(domain=domain, refresh_token=token.encode(), client_id=client or ""))

    def logout(self, token=None, refresh_token=None, domain=HOST):
        return self.outcome(lambda: self.stub.Logout(domain=domain, access_token=(token or "").encode(), refresh_token=(refresh_token or "").encode()),
                            lambda answer: {})

    def userinfo(self, token, domain=HOST):
        return self.outcome(lambda: self.stub.UserInfo(domain=domain, access_token=token.encode()), lambda answer: json.loads(answer.claims))

    def sessions(self, token, domain=HOST):
        return self.outcome(lambda: self.stub.ListSessions(domain=domain, access_token=token.encode()),
                            lambda answer: [{f.name: getattr(s, f.name) for f in s.DESCRIPTOR.fields} for s in answer.sessions])

    def end_session(self, token, session_id, domain=HOST):
        return self.outcome(lambda: self.stub.EndSession(domain=domain, access_token=token.encode(), session_id=session_id), lambda answer: {})


DOORS = {"rest": Rest, "grpc": Grpc}
