"""A scripted identity provider in Auth0's manner: password and password-realm grant, rotation of refresh tokens with reuse
detection, claims, revocation, second factors. `profile` chooses Auth0's default access tokens or RFC 9068's."""
import base64
import functools
import json
import time
import urllib.parse
import uuid

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from tests.support import tokens
from tests.support.issuer import Issuer

REALM = "http://auth0.com/oauth/grant-type/password-realm"
MFA = "http://auth0.com/oauth/grant-type/mfa-"
BOB, BOBS_PASSWORD = "bob@abott.com", "bob's own passphrase"


@functools.cache
def shared_key():
    """One for all providers of a run: making them takes its time."""
    return tokens.Key("RS256")


class Refused(Exception):
    def __init__(self, status, error, description="", **more):
        super().__init__(error)
        self.status, self.body = status, {"error": error, "error_description": description, **more}


class Idp(Issuer):
    """`requests` has what came, in order: (path, headers, fields). `answer_with` scripts the token endpoint."""

    def __init__(self, profile="auth0", audience="https://api.abott.com", **kwargs):
        super().__init__(audience=audience, algorithms=(), **kwargs)
        self.keys = [shared_key()]
        self.profile, self.client, self.secret = profile, "clinicwave", "the client's secret"
        self.users = {BOB: {"sub": "auth0|bob", "password": BOBS_PASSWORD, "name": "Bob", "email": BOB, "email_verified": True}}
        self.answers, self.client_key, self.assertions = [], None, set()
        self.requests, self.refresh_tokens, self.families, self.mfa_tokens = [], {}, set(), {}
        self.token_script, self.metadata, self.id_claims, self.access_claims = None, {}, {}, {}
        self.rotation, self.give_refresh, self.revoked, self.life = True, True, [], 86400
        self.userinfo_script = None

    # --- scripting

    def answer_with(self, status=200, body=None, content_type="application/json", times=None, **headers):
        """The token endpoint says this, the next TIMES times or until `answer_normally`."""
        left = [times]

        def script(request):
            if left[0] is not None:
                left[0] -= 1
                if left[0] <= 0:
                    self.token_script = None
            headers_out = {k.replace("_", "-"): v for k, v in headers.items()}
            return self.send(request, body if body is not None else {}, status, content_type, headers_out)
        self.token_script = script

    def hang_on_tokens(self):
        self.released.clear()
        self.token_script = lambda request: self.released.wait(60)

    def close_on_tokens(self):
        def script(request):
            request.close_connection = True
        self.token_script = script

    def answer_normally(self):
        self.token_script = self.userinfo_script = None
        super().answer_normally()

    def seen(self, path="/oauth/token"):
        return [fields for p, _, fields in self.requests if p == path]

    # --- endpoints

    def serve(self, request):
        path = request.path.split("?")[0]
        if request.command == "POST":
            body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
            kind = request.headers.get("Content-Type", "")
            fields = json.loads(body) if "json" in kind else dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True))
            self.requests.append((path, dict(request.headers), fields))
            if path == "/oauth/token" and self.token_script:
                return self.token_script(request)
            try:
                body, status = self.post(path, fields, request.headers)
            except Refused as e:
                body, status = e.body, e.status
            self.answers.append((path, status, body))
            return self.send(request, body, status)
        if path == "/.well-known/openid-configuration":
            self.discoveries += 1
            return self.send(request, self.configuration())
        if path == "/userinfo":
            if self.userinfo_script:
                return self.userinfo_script(request)
            return self.userinfo(request)
        return super().serve(request)

    def configuration(self):
        return {"issuer": self.url, "jwks_uri": self.jwks_uri, "token_endpoint": self.url + "oauth/token",
                "userinfo_endpoint": self.url + "userinfo", "revocation_endpoint": self.url + "oauth/revoke",
                "mfa_challenge_endpoint": self.url + "mfa/challenge", **self.metadata}

    def post(self, path, fields, headers):
        if path == "/oauth/token":
            self.authenticate(fields, headers)
            return self.grant(fields), 200
        if path == "/oauth/revoke":
            self.authenticate(fields, headers)
            self.revoked.append(fields["token"])
            family = self.refresh_tokens.get(fields["token"], {}).get("family")
            self.families.discard(family)
            return b"", 200
        if path == "/mfa/challenge":
            self.authenticate(fields, headers)
            return self.challenge(fields), 200
        raise Refused(404, "not_found")

    def authenticate(self, fields, headers):
        basic = (headers.get("Authorization") or "").removeprefix("Basic ")
        if basic:
            client, secret = (urllib.parse.unquote_plus(p) for p in base64.b64decode(basic).decode().split(":", 1))
            good = (client, secret) == (self.client, self.secret) and "client_secret" not in fields
        elif self.client_key:
            good = fields.get("client_id") == self.client and "client_secret" not in fields and self.assertion_good(fields)
        else:
            good = fields.get("client_id") == self.client and fields.get("client_secret") == self.secret
        if not good:
            raise Refused(401, "access_denied", "Unauthorized")

    def assertion_good(self, fields):
        """RFC 7523 §3, as Auth0 demands it: signed by the registered key, for this issuer, short, once."""
        head, payload, signature = fields["client_assertion"].split(".")
        header, claims = (json.loads(tokens.unb64(p)) for p in (head, payload))
        self.client_key.private.public_key().verify(tokens.unb64(signature), f"{head}.{payload}".encode(), padding.PKCS1v15(), hashes.SHA256())
        fresh = claims["jti"] not in self.assertions
        self.assertions.add(claims["jti"])
        return (fields["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" and header["alg"] == "RS256" and
                header.get("kid") == self.client_key.kid and claims["iss"] == claims["sub"] == self.client and claims["aud"] == self.url and
                0 < claims["exp"] - time.time() <= 300 and fresh)

    def grant(self, f):
        kind = f.get("grant_type")
        if kind in ("password", REALM):
            user = self.users.get(f["username"])
            if kind == REALM and f["realm"] != "Users":
                raise Refused(403, "unauthorized_client", "Grant not enabled for the connection")
            if not user or user["password"] != f["password"]:
                raise Refused(403, "invalid_grant", "Wrong email or password.")
            if user.get("mfa"):
                token = "Fe26." + uuid.uuid4().hex
                self.mfa_tokens[token] = (user, f)
                raise Refused(403, "mfa_required", "Multifactor authentication required", mfa_token=token)
            return self.token_set(user, f.get("scope", ""))
        if kind == "refresh_token":
            return self.refresh(f["refresh_token"])
        if kind and kind.startswith(MFA):
            return self.second_factor(kind[len(MFA):], f)
        raise Refused(403, "unauthorized_client", f"Grant type '{kind}' not allowed for the client.")

    def refresh(self, token):
        known = self.refresh_tokens.get(token)
        if not known or known["family"] not in self.families:
            raise Refused(403, "invalid_grant", "Unknown or invalid refresh token.")
        if known["used"]:
            self.families.discard(known["family"])  # reuse: the whole family dies
            raise Refused(403, "invalid_grant", "Unknown or invalid refresh token.")
        known["used"] = self.rotation
        return self.token_set(known["user"], known["scope"], known["family"])

    def second_factor(self, kind, f):
        if f.get("mfa_token") not in self.mfa_tokens:
            raise Refused(403, "invalid_grant", "Malformed mfa_token")
        user, login = self.mfa_tokens[f["mfa_token"]]
        extra = {}
        if kind == "otp":
            if f["otp"] != user["mfa"]["otp"]:
                raise Refused(403, "invalid_grant", "Invalid otp_code.")
        elif kind == "recovery-code":
            if f["recovery_code"] != user["mfa"]["recovery"]:
                raise Refused(403, "invalid_grant", "MFA Authorization rejected.")
            user["mfa"]["recovery"] = extra["recovery_code"] = uuid.uuid4().hex[:24].upper()
        elif kind == "oob":
            if f.get("oob_code") != user["mfa"].get("oob_code"):
                raise Refused(403, "invalid_grant", "Invalid oob_code.")
            if user["mfa"].get("pending"):
                raise Refused(400, "authorization_pending", "Authorization pending")
            if f.get("binding_code") != user["mfa"]["binding"]:
                raise Refused(403, "invalid_grant", "Invalid binding_code.")
        del self.mfa_tokens[f["mfa_token"]]
        return {**self.token_set(user, login.get("scope", "")), **extra}

    def challenge(self, f):
        if f.get("mfa_token") not in self.mfa_tokens:
            raise Refused(403, "invalid_grant", "Malformed mfa_token")
        user, _ = self.mfa_tokens[f["mfa_token"]]
        if f["challenge_type"] == "oob":
            if "binding" not in user["mfa"]:
                raise Refused(400, "unsupported_challenge_type", "User does not have the requested authenticators")
            user["mfa"]["oob_code"] = "oob." + uuid.uuid4().hex
            return {"challenge_type": "oob", "oob_code": user["mfa"]["oob_code"], "binding_method": "prompt"}
        return {"challenge_type": "otp"}

    # --- tokens

    def access_token(self, user, scope):
        now = int(time.time())
        claims = {"iss": self.url, "sub": user["sub"], "aud": [self.audience, self.url + "userinfo"], "iat": now, "exp": now + self.life,
                  "scope": scope, "https://abott.com/roles": user.get("roles", ["nurse"]), "nonsense_to_differ": uuid.uuid4().hex}
        if self.profile == "auth0":
            return tokens.mint(self.keys[0], {**claims, "azp": self.client, "gty": "password", **self.access_claims}, typ="JWT")
        return tokens.mint(self.keys[0], {**claims, "client_id": self.client, "jti": uuid.uuid4().hex, **self.access_claims}, typ="at+jwt")

    def id_token(self, user):
        now = int(time.time())
        claims = {"iss": self.url, "sub": user["sub"], "aud": self.client, "iat": now, "exp": now + 36000, "name": user["name"],
                  "email": user["email"], "email_verified": user["email_verified"], **self.id_claims}
        return tokens.mint(self.keys[0], {k: v for k, v in claims.items() if v is not None}, typ="JWT")

    def token_set(self, user, scope, family=None):
        answer = {"access_token": self.access_token(user, scope), "token_type": "Bearer", "expires_in": self.life, "scope": scope}
        if "openid" in scope.split():
            answer["id_token"] = self.id_token(user)
        if "offline_access" in scope.split() and self.give_refresh:
            family = family or uuid.uuid4().hex
            self.families.add(family)
            token = "v1.M" + uuid.uuid4().hex
            self.refresh_tokens[token] = {"user": user, "scope": scope, "family": family, "used": False}
            answer["refresh_token"] = token
        return answer

    def userinfo(self, request):
        token = (request.headers.get("Authorization") or "").removeprefix("Bearer ")
        try:
            subject = json.loads(tokens.unb64(token.split(".")[1]))["sub"]
        except Exception:
            return self.send(request, {"error": "invalid_token"}, 401)
        user = next(u for u in self.users.values() if u["sub"] == subject)
        return self.send(request, {"sub": subject, "name": user["name"], "email": user["email"], "email_verified": user["email_verified"]})
