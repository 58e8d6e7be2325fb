"""Envoy's side of Authorization/Check, and the requests that our gateway and an Envoy with our sidecar must answer alike."""
import collections
import json

from tests.support import rpc, tokens

SERVICE = "envoy.service.auth.v3.Authorization"
OVERWRITE = 2
# Envoy writes these itself, before it asks.
PROXYS = ("x-forwarded-for", "x-forwarded-proto", "x-request-id", "traceparent", "tracestate")

# A route by the first segment of its path: what context_extensions say, and the gateway's directives of the same names.
RULES = {
    "a": {"cw_auth": "required"},
    "maybe": {"cw_auth": "optional"},
    "open": {"cw_auth": "off"},
    "scoped": {"cw_auth": "required", "cw_scope": "files:read files:write"},
    "any": {"cw_auth": "required", "cw_scope_any": "files:delete files:read"},
    "role": {"cw_auth": "required", "cw_role": "doctor,nurse"},
    "roles": {"cw_auth": "required", "cw_role_all": "doctor,nurse"},
    "other": {"cw_auth": "required", "cw_audience": "https://somewhere.else"},
    "pass": {"cw_auth": "required", "cw_authorization": "pass"},
    "realm": {"cw_auth": "required", "cw_realm": "files"},
    "lax": {"cw_auth": "required", "cw_ambiguous_path": "allow"},
}


# What nginx would drop by itself is seen by our module, and nobody's patience is what is tested.
LAX = "underscores_in_headers on; ignore_invalid_headers off; cw_timeout 30s;"


def locations():
    """The same rules as locations of nginx."""
    said = lambda rule: " ".join(f"{k} {v.replace(',', ' ')};" for k, v in rule.items())
    return "\n".join(f"location /{name}/ {{ {said(rule)} proxy_pass http://@SERVICE@; }}" for name, rule in RULES.items())


def token_of(issuer, kind):
    if kind is None:
        return None
    stranger = tokens.Key("RS256", kid=issuer.keys[0].kid)
    return {
        "good": lambda: issuer.token(sub="anna", scope="openid files:read files:write", roles=["doctor", "nurse"], sid="s1"),
        "bare": lambda: issuer.token(sub="anna", scope=None, client_id=None),
        "reader": lambda: issuer.token(scope="files:read", roles=["doctor"]),
        "expired": issuer.expired,
        "tampered": lambda: tokens.tampered(issuer.token(), sub="admin"),
        "forged": lambda: issuer.token(key=stranger),
        "foreign": lambda: issuer.token(iss="https://somebody-else.example/"),
        "for another": lambda: issuer.token(aud="https://somebody-else.example"),
        "unsigned": lambda: tokens.unsigned(issuer.claims()),
        "public key as secret": lambda: tokens.hmac_with_public_key(issuer.keys[0], issuer.claims()),
        "odd role": lambda: issuer.token(roles=["doctor,admin"]),
        "odd subject": lambda: issuer.token(sub="anna\r\nx-auth-roles: admin"),
        "largest": lambda: "g" * 16384,
        "too large": lambda: "g" * 16385,
    }[kind]()


Request = collections.namedtuple("Request", "path token headers host status_only", defaults=(None, (), "clinicwave.localhost", False))

FORGED = ["x-auth-subject", "X-Auth-Roles", "X_Auth_Subject", "x.auth.subject", "X-Auth_Tenant", "X-AUTH-ANYTHING", "X-Forwarded-Host", "X_Forwarded_Host",
          "X-Forwarded-Port", "Forwarded", "X-Real-IP", "x_request_id", "X-Original-URL", "X-Rewrite-URL", "Proxy-Authorization"]

REQUESTS = {
    "no token": Request("/a/x"),
    "a good one": Request("/a/x?q=1", "good"),
    "one with little in it": Request("/a/x", "bare"),
    **{f"a token that is {kind}": Request("/a/x", kind) for kind in
       ("expired", "tampered", "forged", "foreign", "for another", "unsigned", "public key as secret", "odd role", "odd subject", "largest", "too large")},
    **{f"authorization {value!r}": Request("/a/x", headers=(("Authorization", value),)) for value in
       ("Basic Z29vZA==", "good", "Bearerx good", "Bearer", "Bearer\tgood", "Bearer, good", "Bearer a b", "Bearer a,b", "Bearer go\"od", "Bearer =a", "Bearer g=d",
        "bEaReR nonsense", 'Digest username="x", realm="y", uri="/", response="z"')},
    # nginx itself counts them, Envoy joins them
    **{f"on /{route}/ {other!r} and a token": Request(f"/{route}/x", "good", (("Authorization", other),), status_only=True)
       for route in ("a", "maybe", "open", "pass") for other in ("Bearer other", "Basic eDp5", "Digest a=\"b\"", "Basic \"")},
    "two tokens in one header": Request("/a/x", headers=(("Authorization", "Bearer a, Bearer b"),), status_only=True),
    "a token in the query": Request("/a/x?access_token=good"),
    "a token in a cookie": Request("/a/x", headers=(("Cookie", "access_token=good; __Host-token=good"),)),
    "a domain of nobody": Request("/a/x", "good", host="nobody.example"),
    "a domain of nobody, no token": Request("/maybe/x", host="nobody.example"),
    "another spelling of the domain": Request("/a/x", "good", host="ClinicWave.LOCALHOST.:8443"),
    "optional, without": Request("/maybe/x"),
    "optional, with": Request("/maybe/x", "good"),
    "optional, with a bad one": Request("/maybe/x", "expired"),
    "optional, another scheme": Request("/maybe/x", headers=(("Authorization", "Basic eDp5"),)),
    "optional, malformed": Request("/maybe/x", headers=(("Authorization", "Bearer"),)),
    "off, with": Request("/open/x", "good"),
    "off, with a bad one": Request("/open/x", "tampered"),
    "all scopes": Request("/scoped/x", "good"),
    "not all scopes": Request("/scoped/x", "reader"),
    "one scope of several": Request("/any/x", "reader"),
    "none of several scopes": Request("/any/x", "bare"),
    "one role of several": Request("/role/x", "reader"),
    "none of several roles": Request("/role/x", "bare"),
    "all roles": Request("/roles/x", "good"),
    "not all roles": Request("/roles/x", "reader"),
    "another audience": Request("/other/x", "good"),
    "authorization passes": Request("/pass/x", "good"),
    "a realm": Request("/realm/x"),
    "a realm and a bad one": Request("/realm/x", "expired"),
    **{f"forged names on /{route}/": Request(f"/{route}/x", token, tuple((name, "forged-value") for name in FORGED))
       for route, token in (("a", "good"), ("a", "bare"), ("maybe", None), ("open", None))},
    **{f"path {path}": Request(path, "good") for path in
       ("/open/..%2fa/x", "/open/%2e%2e/a/x", "/open/..;/a/x", "/open/../a/x", "/open/./x", "/open//x", "/open/x;v=1", "/open/%3bx", "/open/%252fa", "/open/%255ca",
        "/open/%c0%ae%c0%ae/a", "/open/%ff", "/open/%7f", "/a/%2f", "/a/x%20y", "/a/%C3%A4", "/a/.hidden", "/a/...", "/a/x?p=..%2f../;//", "/a/100%25", "/a/%3Fq",
        "/lax/x;v=1")},
    **{f"{name} chooses no rule": Request("/a/x", headers=((name, "/open/x"),)) for name in ("X-Original-URL", "X-Forwarded-Uri", "X-HTTP-Method-Override")},
}


class Outcome:
    """What came of a request: the answer when it was refused, what the service saw when it passed."""

    def __init__(self, status, headers=None, body=None, seen=None):
        self.status, self.headers, self.seen = status, headers or {}, seen
        self.problem = json.loads(body) if body and "json" in self.headers.get("content-type", "") and seen is None else None

    @property
    def reason(self):
        return self.problem and self.problem["reason"]

    @property
    def identity(self):
        """What speaks of the caller, by name."""
        return None if self.seen is None else {n: v for n, v in self.seen.items() if n.startswith("x-auth-") or n == "authorization"}

    @property
    def forged(self):
        return None if self.seen is None else sorted(n for n, values in self.seen.items() if n not in PROXYS and "forged-value" in values)

    def told(self, request):
        """All that two doors must have in common."""
        if request.status_only:
            return self.status
        about = {n: self.headers.get(n) for n in ("content-type", "www-authenticate", "cache-control", "retry-after")} if self.seen is None else None
        problem = self.problem and {k: v for k, v in self.problem.items() if k != "trace_id"}
        return self.status, problem, about, self.identity, self.forged

    def __repr__(self):
        return f"<{self.status} {self.reason} {self.seen}>"


def through(door, service, request, token):
    """The outcome of one request through a proxy in front of SERVICE."""
    service.requests.clear()
    headers = {}
    for name, value in [*request.headers, *([("Authorization", f"Bearer {token}")] if token is not None else [])]:
        headers.setdefault(name, []).append(value)
    r = door.get(request.path, headers=headers, host=request.host)
    reached = service.requests[-1] if service.requests else None
    assert (reached is None) == (r.status != 200), r
    return Outcome(r.status, r.headers, r.body, by_name(reached["headers"]) if reached else None)


def by_name(pairs):
    """Values by lower-case name."""
    found = {}
    for name, value in pairs:
        found.setdefault(name.lower(), []).append(value)
    return found


class Checker:
    """Asks as an Envoy does, and does to the request what an Envoy would do."""

    def __init__(self, socket, raw=True):
        self.raw = raw
        self.stub = rpc.Stub(rpc.channel(socket), SERVICE)
        self.response = None

    @staticmethod
    def fields(path, headers=(), host="clinicwave.localhost", rule=None, raw=True):
        """Of a CheckRequest."""
        http = {"path": path, "host": host, "method": "GET"}
        every = [(":authority", host), (":path", path), (":method", "GET"), *((n.lower(), v) for n, v in headers)]
        if raw:
            http["header_map"] = {"headers": [{"key": n, "raw_value": v.encode()} for n, v in every]}
        else:
            http["headers"] = {n: ",".join(values) for n, values in by_name(every).items()}
        del http["method"]
        return {"attributes": {"request": {"http": http}, "context_extensions": rule if rule is not None else RULES[path.split("/")[1]]}}

    def check(self, path, headers=(), timeout=20, **more):
        """The CheckResponse as it came."""
        self.response = self.stub.Check(timeout=timeout, **self.fields(path, headers, raw=self.raw, **more))
        return self.response

    def get(self, path, token=None, headers=(), **more):
        sent = [*headers, *([("Authorization", f"Bearer {token}")] if token is not None else [])]
        return self.apply(self.check(path, sent, **more), sent)

    @staticmethod
    def apply(response, sent):
        kind = response.WhichOneof("http_response")
        assert (kind == "ok_response") == (response.status.code == 0) and kind
        part = getattr(response, kind)
        for option in part.headers:
            assert option.HasField("append") and not option.append.value and option.append_action == OVERWRITE
        if kind == "denied_response":
            return Outcome(part.status.code, {o.header.key: o.header.value for o in part.headers}, part.body)
        seen = by_name(sent)
        seen.update({o.header.key: [o.header.value] for o in part.headers})
        for name in part.headers_to_remove:  # after what was set
            seen.pop(name, None)
        return Outcome(200, seen=seen)
