"""Keys and tokens, made at will: good ones, and ones with exactly one thing wrong."""
import base64
import hashlib
import hmac
import json
import time
import uuid

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

HASHES = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}
CURVES = {"ES256": (ec.SECP256R1, "P-256", 32), "ES384": (ec.SECP384R1, "P-384", 48), "ES512": (ec.SECP521R1, "P-521", 66)}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def number(value, size=None):
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


class Key:
    """A signing key for one algorithm, with its public JWK (RFC 7517)."""

    def __init__(self, alg="RS256", kid=None):
        self.alg, self.kid = alg, kid or f"{alg.lower()}-{uuid.uuid4().hex[:8]}"
        if alg.startswith(("RS", "PS")):
            self.private = rsa.generate_private_key(65537, 2048)
        elif alg.startswith("ES"):
            self.private = ec.generate_private_key(CURVES[alg][0]())
        elif alg == "EdDSA":
            self.private = ed25519.Ed25519PrivateKey.generate()
        else:
            raise ValueError(alg)

    def jwk(self):
        common = {"kid": self.kid, "alg": self.alg, "use": "sig"}
        public = self.private.public_key()
        if self.alg.startswith(("RS", "PS")):
            n = public.public_numbers()
            return dict(common, kty="RSA", n=number(n.n), e=number(n.e))
        if self.alg.startswith("ES"):
            n, (_, curve, size) = public.public_numbers(), CURVES[self.alg]
            return dict(common, kty="EC", crv=curve, x=number(n.x, size), y=number(n.y, size))
        from cryptography.hazmat.primitives import serialization as s
        return dict(common, kty="OKP", crv="Ed25519", x=b64(public.public_bytes(s.Encoding.Raw, s.PublicFormat.Raw)))

    def sign(self, data):
        if self.alg == "EdDSA":
            return self.private.sign(data)
        digest = HASHES[self.alg[2:]]()
        if self.alg.startswith("RS"):
            return self.private.sign(data, padding.PKCS1v15(), digest)
        if self.alg.startswith("PS"):
            return self.private.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        r, s = utils.decode_dss_signature(self.private.sign(data, ec.ECDSA(digest)))
        size = CURVES[self.alg][2]
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def compact(header, payload, sign):
    """A compact JWS (RFC 7515 §7.1); HEADER and PAYLOAD are dicts, or bytes as they are."""
    parts = [b64(p if isinstance(p, bytes) else json.dumps(p, separators=(",", ":")).encode()) for p in (header, payload)]
    signing_input = ".".join(parts)
    return signing_input + "." + b64(sign(signing_input.encode()))


def claims(issuer, audience, **changes):
    """The claims of an ordinary access token (RFC 9068), good for five minutes; None removes one."""
    now = int(time.time())
    all_claims = {"iss": issuer, "aud": audience, "sub": "user|anna", "client_id": "portal", "iat": now, "exp": now + 300,
                  "jti": uuid.uuid4().hex, "scope": "openid files:read files:write"}
    all_claims.update(changes)
    return {k: v for k, v in all_claims.items() if v is not None}


def mint(key, payload, **header):
    head = {"alg": key.alg, "typ": "at+jwt", "kid": key.kid}
    head.update(header)
    return compact({k: v for k, v in head.items() if v is not None}, payload, key.sign)


def tampered(token, **changes):
    """The same signature over other claims."""
    head, payload, signature = token.split(".")
    changed = dict(json.loads(unb64(payload)), **changes)
    return ".".join([head, b64(json.dumps(changed, separators=(",", ":")).encode()), signature])


def unsigned(payload):
    """`alg: none` (RFC 8725 §2.1), with bytes where a signature would be."""
    return compact({"alg": "none", "typ": "at+jwt", "kid": "none"}, payload, lambda _: b"none")


def hmac_with_public_key(key, payload):
    """The public key used as an HMAC secret (RFC 8725 §2.1)."""
    from cryptography.hazmat.primitives import serialization as s
    pem = key.private.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)
    return compact({"alg": "HS256", "typ": "at+jwt", "kid": key.kid}, payload, lambda d: hmac.new(pem, d, hashlib.sha256).digest())
