"""One set of cases for both doors of authsvc: what REST and gRPC answer, in one shape."""
import base64
import dataclasses
import hashlib
import hmac
import json
import struct
import time

import grpc
import httpx

from tests.support import openapi, rpc

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
    mfa_token: str | None = None
    methods: list | None = None


class Totp:
    """An authenticator app, written from RFC 6238: codes that were not used yet, as the window of ±1 step allows."""

    def __init__(self, secret):
        self.key, self.last = base64.b32decode(secret + "=" * (-len(secret) % 8)), 0

    def at(self, step):
        mac = hmac.new(self.key, struct.pack(">Q", step), hashlib.sha1).digest()
        offset = mac[-1] & 15
        return f"{(struct.unpack('>I', mac[offset:offset + 4])[0] & 0x7fffffff) % 1000000:06d}"

    def code(self):
        """A fresh code; the third within one step has to wait for the next."""
        while True:
            now, into = divmod(time.time(), 30)
            step = max(self.last + 1, int(now) - (into < 20))  # not the step before when that is about to leave the window
            if step <= now + 1:
                self.last = step
                return self.at(step)
            time.sleep(0.5)

    def wrong(self):
        now = int(time.time()) // 30
        right = {self.at(s) for s in range(now - 3, now + 5)}
        return next(c for c in (f"{i:06d}" for i in range(1000000)) if c not in right)


class Rest:
    name = "rest"

    def __init__(self, authsvc):
        self.authsvc = authsvc
        # Whatever a test asks: the answer is one that the OpenAPI document describes.
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{authsvc.rest}", timeout=60, event_hooks={"response": [openapi.check]})

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
        return Outcome(problem["reason"], None, answer.status_code, float(retry) if retry else None, problem["title"] + problem["detail"],
                       problem.get("mfa_token"), problem.get("methods"))

    def login(self, username=ANNA, password=PASSWORD, domain=HOST, client=None, scopes=None, address=None, otp=None, device=None):
        body = {"username": username, "password": password}
        if otp is not None:
            body["otp"] = otp
        if client is not None:
            body["client_id"] = client
        if scopes is not None:
            body["scope"] = " ".join(scopes)
        return self.outcome(self.post("/auth/v1/login", body, host=domain, X_Forwarded_For=address, User_Agent=device and device.encode()))

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

    def call(self, path, token=None, domain=HOST, address=None, **body):
        """POST below /auth/v1 with the members that are not None."""
        body = {k: v for k, v in body.items() if v is not None}
        answer = self.post(f"/auth/v1/{path}", body, host=domain, Authorization=f"Bearer {token}" if token else None, X_Forwarded_For=address)
        if answer.status_code == 204:
            assert not answer.content
            return Outcome(None, {}, 204)
        return self.outcome(answer)

    def mfa_challenge(self, mfa_token, client=None, domain=HOST, **members):
        return self.call("mfa/challenge", domain=domain, mfa_token=mfa_token, client_id=client, **members)

    def mfa_verify(self, mfa_token, client=None, domain=HOST, address=None, **members):
        return self.call("mfa/verify", domain=domain, address=address, mfa_token=mfa_token, client_id=client, **members)

    def password_change(self, old, new, token=None, domain=HOST, address=None, **members):
        return self.call("password/change", token, domain, address, old_password=old, new_password=new, **members)

    def password_reset(self, code, new, domain=HOST, address=None):
        return self.call("password/reset", None, domain, address, code=code, new_password=new)

    def mfa(self, token, domain=HOST):
        return self.send("GET", "/auth/v1/mfa", token, domain=domain)

    def totp_start(self, token=None, password=None, mfa_token=None, domain=HOST):
        return self.call("mfa/totp", token, domain, password=password, mfa_token=mfa_token)

    def totp_confirm(self, token, otp, domain=HOST):
        return self.call("mfa/totp/confirm", token, domain, otp=otp)

    def totp_remove(self, token, password, otp=None, recovery_code=None, domain=HOST):
        return self.call("mfa/totp/remove", token, domain, password=password, otp=otp, recovery_code=recovery_code)

    def recovery_codes(self, token, otp, domain=HOST):
        return self.call("mfa/recovery-codes", token, domain, otp=otp)


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
            reason, retry, facts = None, None, {}
            for d in rpc.message("google.rpc.Status").FromString(details).details:
                kind = d.type_url.rsplit("/", 1)[1]
                inside = rpc.message(kind).FromString(d.value)
                if kind == "google.rpc.ErrorInfo":
                    reason, facts = inside.reason, dict(inside.metadata)
                if kind == "google.rpc.RetryInfo":
                    retry = inside.retry_delay.seconds + inside.retry_delay.nanos / 1e9
            return Outcome(reason, None, e.code(), retry, e.details(), facts.get("mfa_token"),
                           facts["methods"].split() if "methods" in facts else None)
        if not hasattr(answer, "DESCRIPTOR"):
            return Outcome(None, answer, grpc.StatusCode.OK)
        tokens = {f.name: getattr(answer, f.name) for f in answer.DESCRIPTOR.fields}
        if tokens.get("recovery_code") == "":
            del tokens["recovery_code"]  # REST leaves it out
        return Outcome(None, {k: v.decode() if isinstance(v, bytes) else v for k, v in tokens.items()}, grpc.StatusCode.OK)

    def login(self, username=ANNA, password=PASSWORD, domain=HOST, client=None, scopes=None, address=None, otp=None, device=None):
        return self.outcome(lambda: self.stub.Login(domain=domain, username=username.encode(), password=password.encode(), client_id=client or "",
                                                    scopes=scopes or [], client_address=address or "", otp=(otp or "").encode(),
                                                    user_agent=device or ""))

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

    def call(self, method, read=None, token=None, domain=HOST, address=None, **fields):
        """A method with the fields that are not None; the rest as in REST."""
        names = {"client": "client_id", "token": "access_token"}
        text = ("client_id", "challenge_type", "authenticator_id")
        fields = {names.get(k, k): v for k, v in {**fields, "token": token}.items() if v is not None}
        fields = {k: v if k in text or isinstance(v, bytes) else v.encode() for k, v in fields.items()}
        if address is not None:
            fields["client_address"] = address
        return self.outcome(lambda: getattr(self.stub, method)(domain=domain, **fields), *([read] if read else []))

    @staticmethod
    def members(answer):
        values = {f.name: getattr(answer, f.name) for f in answer.DESCRIPTOR.fields}
        values = {k: v.decode() if isinstance(v, bytes) else v if isinstance(v, (str, int, bool)) else list(v) for k, v in values.items()}
        return {k: v for k, v in values.items() if v != ""}

    def mfa_challenge(self, mfa_token, **fields):
        return self.call("ChallengeMfa", self.members, mfa_token=mfa_token, **fields)

    def mfa_verify(self, mfa_token, **fields):
        return self.call("VerifyMfa", mfa_token=mfa_token, **fields)

    def password_change(self, old, new, token=None, domain=HOST, address=None, **fields):
        return self.call("ChangePassword", self.members, token, domain, address, old_password=old, new_password=new, **fields)

    def password_reset(self, code, new, domain=HOST, address=None):
        return self.call("ResetPassword", self.members, None, domain, address, code=code, new_password=new)

    def mfa(self, token, domain=HOST):
        return self.call("GetMfa", self.members, token, domain)

    def totp_start(self, token=None, password=None, mfa_token=None, domain=HOST):
        return self.call("StartTotp", self.members, token, domain, password=password, mfa_token=mfa_token)

    def totp_confirm(self, token, otp, domain=HOST):
        return self.call("ConfirmTotp", self.members, token, domain, otp=otp)

    def totp_remove(self, token, password, otp=None, recovery_code=None, domain=HOST):
        return self.call("RemoveTotp", self.members, token, domain, password=password, otp=otp, recovery_code=recovery_code)

    def recovery_codes(self, token, otp, domain=HOST):
        return self.call("RenewRecoveryCodes", self.members, token, domain, otp=otp)


DOORS = {"rest": Rest, "grpc": Grpc}
