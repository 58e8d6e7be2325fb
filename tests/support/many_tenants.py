"""Thousands of tenants, put into the database of a stopped cw-authsvc: what so many calls of AdminService would leave there, sooner."""
import base64
import contextlib
import hashlib
import json
import os
import sqlite3
import time

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def domain(i):
    return f"t{i:05}.example"


def signing_key(kek, tenant):
    """A row of signing_key: P-256, sealed as authsvc/keys/seal.c says."""
    key = ec.generate_private_key(ec.SECP256R1())
    numbers = key.public_key().public_numbers()
    members = f'"crv":"P-256","kty":"EC","x":"{b64(numbers.x.to_bytes(32, "big"))}","y":"{b64(numbers.y.to_bytes(32, "big"))}"'
    kid = b64(hashlib.sha256(("{" + members + "}").encode()).digest())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    nonce, now = os.urandom(12), int(time.time() * 1000)
    sealed = b"\1" + hashlib.sha256(kek).digest()[:8] + nonce + AESGCM(kek).encrypt(nonce, pem, f"signing-key\0{tenant}\0{kid}\0ES256".encode())
    return tenant, kid, "ES256", "active", f'{{"use":"sig","alg":"ES256","kid":"{kid}",{members}}}', sealed, now, now


def fill(state, n, like):
    """Adds tenants t00000 … to the database in the directory STATE, each with a copy of the user named LIKE = (tenant, username)."""
    kek, now = bytes.fromhex((state / "authsvc.kek").read_text().strip()), int(time.time() * 1000)
    with contextlib.closing(sqlite3.connect(state / "authsvc.db")) as db, db:
        version = db.execute("SELECT value FROM counter WHERE name = 'tenant'").fetchone()[0]
        columns = [row[1] for row in db.execute("PRAGMA table_info(app_user)") if row[1] != "tenant"]
        user = db.execute(f"SELECT {', '.join(columns)} FROM app_user WHERE tenant = ? AND username = ?", like).fetchone()
        for i in range(n):
            name, host = f"t{i:05}", domain(i)
            document = {"domains": [host, f"www.{host}"], "issuer": f"https://{host}", "audiences": f"https://api.{host}", "algorithm": "ES256", "sessions-max": "10000",
                        "clients[0].id": "portal"}
            db.execute("INSERT INTO tenant (name, created_at) VALUES (?, ?)", (name, now))
            db.execute("INSERT INTO tenant_config (tenant, version, issuer, document, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)",
                       (name, version + i + 1, document["issuer"], json.dumps(document), now, now))
            db.executemany("INSERT INTO tenant_domain (domain, tenant) VALUES (?, ?)", [(d, name) for d in document["domains"]])
            db.execute("INSERT INTO signing_key (tenant, kid, algorithm, state, public_jwk, sealed, created_at, changed_at)"
                       " VALUES (?, ?, ?, ?, ?, ?, ?, ?)", signing_key(kek, name))
            db.execute(f"INSERT INTO app_user (tenant, {', '.join(columns)}) VALUES (?{', ?' * len(columns)})", (name, *user))
        db.execute("UPDATE counter SET value = value + ? WHERE name = 'tenant'", (n,))
