"""A hundred thousand damaged signatures, judged by us and by jwcrypto, which somebody else wrote: whatever we accept, it must
accept, with the same payload. The other way round we may be stricter; by how much is printed. `Ed25519` (RFC 9864) is
younger than Debian's jwcrypto and therefore not among the names.

CW_DIFFERENTIAL_RUNS and CW_DIFFERENTIAL_SEED make a longer or another run."""
import collections
import json
import os
import random
import subprocess

from jwcrypto import jwk, jws

from tests.support import tokens
from tests.support.programs import program

RUNS = int(os.environ.get("CW_DIFFERENTIAL_RUNS", 100_000))
SEED = int(os.environ.get("CW_DIFFERENTIAL_SEED", 20261124))
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
NOISE = ALPHABET + ".=+/ \t\n\r!%?#@{}\"\u00e9"
NAMES = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "none", "None",
         "hs256", "ES256K", "RSA-OAEP", "", 256, None]


class Signer:
    """A key in its three spellings: without `alg`, with its own, with another one."""

    def __init__(self, alg, random_):
        self.alg = alg
        if alg.startswith("HS"):
            self.public = {"kty": "oct", "k": tokens.b64(random_.randbytes(64))}
            self.kid = "h"
            self.key = jwk.JWK(**self.public)
            self.sign = lambda data: tokens.hmac.new(tokens.unb64(self.public["k"]), data, "sha" + alg[2:]).digest()
        else:
            key = tokens.Key(alg, "k-" + alg)
            self.kid, self.sign = key.kid, key.sign
            self.public = {k: v for k, v in key.jwk().items() if k not in ("alg", "use")}
            self.key = jwk.JWK(**self.public)
        self.spellings = [self.public, dict(self.public, alg=alg), dict(self.public, alg="PS512" if alg != "PS512" else "RS256", use="sig")]

    def token(self, header, payload):
        return tokens.compact(header, payload, self.sign)


# --- one damage each

def change(r, token):
    at = r.randrange(len(token))
    return token[:at] + r.choice(NOISE) + token[at + 1:]


def insert(r, token):
    at = r.randrange(len(token) + 1)
    return token[:at] + r.choice(NOISE) * r.choice((1, 1, 1, 4)) + token[at:]


def delete(r, token):
    at = r.randrange(len(token))
    return token[:at] + token[at + r.choice((1, 1, 2, 8)):]


def last_character(r, token):
    parts = token.split(".")
    i = r.randrange(len(parts))
    return ".".join(parts[:i] + [parts[i][:-1] + r.choice(ALPHABET)] + parts[i + 1:])


def decorate(r, token):
    return r.choice((" %s", "%s ", "%s\n", "%s=", "%s==", "%s.", ".%s", "%s.e30", "Bearer %s", "\"%s\"")) % token


def exchange(r, token):
    parts = token.split(".")
    r.shuffle(parts)
    return ".".join(parts)


def flip_in_signature(r, token):
    head, payload, signature = token.split(".")
    raw = bytearray(tokens.unb64(signature))
    raw[r.randrange(len(raw))] ^= 1 << r.randrange(8)
    return ".".join((head, payload, tokens.b64(bytes(raw))))


def resize_signature(r, token):
    head, payload, signature = token.split(".")
    raw, half = tokens.unb64(signature), len(tokens.unb64(signature)) // 2
    raw = r.choice((raw + b"\0", b"\0" + raw, raw[:-1], raw[1:], b"\0" + raw[:half] + b"\0" + raw[half:], b"", b"\0" * len(raw), raw * 2))
    return ".".join((head, payload, tokens.b64(raw)))


def rewrite_header(r, token):
    """Another header over the old signature."""
    head, payload, signature = token.split(".")
    header = json.loads(tokens.unb64(head))
    header.update(odd_members(r))
    return ".".join((tokens.b64(json.dumps(header).encode()), payload, signature))


def odd_members(r):
    return r.choice(({"alg": r.choice(NAMES)}, {"kid": r.choice((1, "", None, "x", "k" * 300))}, {"crit": ["x"]}, {"b64": False},
                     {"jku": "https://x/"}, {"typ": "JWT"}, {"cty": "JWT"}, {"zip": "DEF"}, {"x": r.random()}))


DAMAGES = (change, change, insert, delete, last_character, decorate, exchange, flip_in_signature, flip_in_signature, resize_signature,
           rewrite_header)


def subjects(r, signers):
    """(signer, key as given, token) without end: nine in ten damaged, the rest good or oddly signed."""
    payloads = [b"foo", b"{}", b"\0" * 20, json.dumps({"sub": "a", "exp": 1900000000}).encode(), "caf\u00e9".encode(), b"x" * 700]
    pool = [(s, s.token({"alg": s.alg, "kid": s.kid} if kid else {"alg": s.alg}, p)) for s in signers for p in payloads for kid in (0, 1)]
    for i in range(RUNS):
        signer, token = r.choice(pool)
        given = r.choice(signer.spellings)
        choice = r.random()
        if choice < 0.9:
            token = r.choice(DAMAGES)(r, token)
        elif choice < 0.93:
            header = {"alg": signer.alg}
            header.update(odd_members(r))
            token = signer.token({k: v for k, v in header.items()}, r.choice(payloads))
        elif choice < 0.96:
            other = r.choice(signers)
            given = r.choice(other.spellings)
        yield given, token


def theirs(given, token, keys={}):
    """The payload that jwcrypto accepts, or None."""
    name = json.dumps(given)
    if name not in keys:
        keys[name] = jwk.JWK(**given)
    try:
        judged = jws.JWS()
        judged.allowed_algs = list(jws.default_allowed_algs)
        judged.deserialize(token)
        judged.verify(keys[name])
        return judged.payload
    except Exception:  # whatever it raises on damaged input is a refusal
        return None


def test_whatever_we_accept_a_validator_of_others_accepts():
    r = random.Random(SEED)
    signers = [Signer(a, r) for a in ("RS256", "RS512", "PS256", "PS384", "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS512")]
    cases = list(subjects(r, signers))
    lines = "".join(json.dumps({"jwk": given, "jws": token}) + "\n" for given, token in cases)
    done = subprocess.run([program("cwctl/cwctl"), "jws", "verify", "--batch"], input=lines, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(l) for l in done.stdout.splitlines()]
    assert len(answers) == len(cases) == RUNS
    tally, stricter, wrong = collections.Counter(), collections.Counter(), []
    for (given, token), ours in zip(cases, answers):
        payload = theirs(given, token)
        tally[ours["valid"], payload is not None] += 1
        if ours["valid"] and payload is None:
            wrong.append((given, token))
        elif ours["valid"]:
            assert payload == tokens.unb64(token.split(".")[1])
        elif payload is not None:
            stricter[ours["reason"]] += 1
    print(f"\nboth accept {tally[True, True]}, both refuse {tally[False, False]}, only jwcrypto accepts {tally[False, True]}: {dict(stricter)}")
    assert not wrong, f"seed {SEED}: {len(wrong)} accepted here only, e.g. {wrong[0]}"
    assert tally[True, True] > RUNS / 50, "hardly any token was good: the comparison says nothing"
    assert tally[False, False] > RUNS / 2
