"""The key-encryption key is replaced: what was sealed under the former one stays readable, moves while the service runs, and then the
former one may go. Interrupted anywhere, nothing is lost."""
import concurrent.futures
import contextlib
import hashlib
import json
import os
import random
import sqlite3
import subprocess
import threading
import time

import pytest
import yaml
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.e2e.authsvc import idp_world
from tests.e2e.authsvc.administration import SETTINGS, Admin, refused, settings
from tests.e2e.authsvc.doors import ANNA, PASSWORD, Rest, Totp, document
from tests.e2e.authsvc.mfa_test import enrol
from tests.support import rpc
from tests.support.idp import Idp
from tests.support.programs import program, until
from tests.support.stack import Authsvc

OPEN = {"throttle": {"account": {"burst": 100}, "address": {"burst": 1000000}, "mfa": {"burst": 100}}}
BERT = "bert@clinicwave.com"
ACME = {"domains": ["acme.com"], "issuer": ["https://idp.acme.com/"], "login": ["idp"], "idp.client-id": ["gate"]}


def fingerprint(key):
    return hashlib.sha256(key).digest()[:8].hex()


def cwctl(authsvc, *arguments, timeout=120):
    return subprocess.run([str(a) for a in (program("cwctl/cwctl"), "encryption-key", *arguments, "--run-dir", authsvc.directory)],
                          text=True, capture_output=True, timeout=timeout)


def status(authsvc):
    """fingerprint → (state, values)."""
    r = cwctl(authsvc, "status", "--json")
    assert r.returncode in (0, 1), r.stderr
    return {k["fingerprint"]: (k["state"], int(k.get("values", 0))) for k in json.loads(r.stdout)["keys"]}


class Keys:
    """Files of key-encryption keys, and which of them an authsvc is configured with."""

    def __init__(self, directory):
        self.directory, self.keys = directory, {}

    def __getitem__(self, name):
        if name not in self.keys:
            self.keys[name] = os.urandom(32)
            path = self.directory / f"{name}.kek"
            path.write_text(self.keys[name].hex())
            path.chmod(0o400)
        return self.keys[name]

    def configure(self, authsvc, current, *others):
        for name in (current, *others):
            assert self[name]
        config = yaml.safe_load(authsvc.config.read_text())
        config["authsvc"]["keys"] = {"kek-file": str(self.directory / f"{current}.kek"),
                                     "other-kek-files": [str(self.directory / f"{o}.kek") for o in others]}
        authsvc.config.write_text(yaml.safe_dump(config))
        return authsvc


@pytest.fixture
def keys(directory):
    return Keys(directory)


@pytest.fixture
def authsvc(directory, ending, store, keys):
    a = keys.configure(Authsvc(directory, document(authsvc=OPEN), store), "first")
    return ending(a.add_user("clinicwave", ANNA, PASSWORD)).start()


class Sql:
    """The database; SQLite's only while the service is stopped."""

    def __init__(self, authsvc, request):
        self.file = authsvc.directory / "state/authsvc.db"
        self.postgresql = request.getfixturevalue("postgresql") if os.environ.get("CW_STORE") == "postgresql" else None
        self.schema = request.getfixturevalue("store").rpartition("%3D")[2] if self.postgresql else None

    def blob(self, data):
        return f"'\\x{data.hex()}'" if self.postgresql else f"x'{data.hex()}'"

    def rows(self, columns, blob, rest):
        """Rows of text, the last column as bytes."""
        if self.postgresql:
            out = self.postgresql.psql(f"SELECT {columns}, encode({blob}, 'hex') {rest};", self.schema)
            rows = [line.split("|") for line in out.splitlines()]
        else:
            with contextlib.closing(sqlite3.connect(self.file, timeout=60)) as db:
                rows = [list(map(str, row)) for row in db.execute(f"SELECT {columns}, hex({blob}) {rest}")]
        return [(*row[:-1], bytes.fromhex(row[-1])) for row in rows]

    def run(self, script):
        if self.postgresql:
            self.postgresql.psql(script, self.schema)
        else:
            with contextlib.closing(sqlite3.connect(self.file, timeout=60)) as db:
                db.executescript(script)


@pytest.fixture
def sql(authsvc, request):
    return Sql(authsvc, request)


def context(subject):
    return f"user_totp\0clinicwave\0{subject}".encode()


def crowd(sql, key, n):
    """N users like anna, each with an authenticator app: name → its secret."""
    secrets, users, totps = {}, [], []
    for i in range(n):
        name, nonce = f"u{i:05}", os.urandom(12)
        secrets[name] = os.urandom(20)
        sealed = b"\1" + bytes.fromhex(fingerprint(key)) + nonce + AESGCM(key).encrypt(nonce, secrets[name], context(name))
        users.append(f"('{name}')")
        totps.append(f"('clinicwave', '{name}', {sql.blob(sealed)}, 1, 1, 0)")
    columns = "password_hash, password_changed_at, name, email, email_verified, roles, permissions, created_at, updated_at"
    sql.run("BEGIN; CREATE TABLE crowd (name TEXT);"
            f"INSERT INTO crowd (name) VALUES {', '.join(users)};"
            f"INSERT INTO app_user (tenant, subject, username, {columns}) SELECT u.tenant, c.name, c.name, {columns.replace('name,', 'u.name,', 1)}"
            f" FROM app_user u CROSS JOIN crowd c WHERE u.username = '{ANNA}'; DROP TABLE crowd;"
            f"INSERT INTO user_totp (tenant, subject, sealed, created_at, confirmed_at, last_step) VALUES {', '.join(totps)}; COMMIT;")
    return secrets


def assert_ledger(sql, keys, secrets):
    """Every secret is there, under the one key or the other; how many are under each."""
    under = dict.fromkeys(keys.keys, 0)
    rows = dict(sql.rows("subject", "sealed", "FROM user_totp WHERE subject LIKE 'u0%'"))
    assert rows.keys() == secrets.keys()
    for subject, sealed in rows.items():
        name = next(n for n, k in keys.keys.items() if fingerprint(k) == sealed[1:9].hex())
        assert AESGCM(keys[name]).decrypt(sealed[9:21], sealed[21:], context(subject)) == secrets[subject]
        under[name] += 1
    return under


def test_a_former_key_goes_when_nothing_depends_on_it(authsvc, keys):
    door = Rest(authsvc)
    app, codes = enrol(door)
    secret = rpc.message("clinicwave.identity.v1.SecretSetting")(name="idp.client-secret-file", value=b"quite secret")
    Admin(authsvc).stub.CreateTenant(name="acme", settings=settings({**SETTINGS, **ACME}), secrets=[secret])
    tokens = door.login(otp=app.code()).tokens
    waiting = door.login().mfa_token
    first, second = fingerprint(keys["first"]), fingerprint(keys["second"])
    assert status(authsvc).keys() == {first}
    assert cwctl(authsvc, "status").returncode == 0
    authsvc.stop()
    keys.configure(authsvc, "second", "first").start()
    before = status(authsvc)
    assert before[second] == ("current", 0) and before[first][0] == "other" and before[first][1] >= 7
    shown = cwctl(authsvc, "status")
    assert shown.returncode == 1 and "signing-key 2, tenant-secrets 1, totp 1, mfa-challenge 1, secret 2" in shown.stdout
    tokens = door.refresh(tokens["refresh_token"]).tokens  # all goes on, before anything has moved
    moved = cwctl(authsvc, "reseal")
    assert moved.returncode == 0 and f"{before[first][1]} values resealed" in moved.stdout, moved
    assert status(authsvc) == {second: ("current", before[first][1]), first: ("other", 0)}
    assert cwctl(authsvc, "status").returncode == 0
    again = cwctl(authsvc, "reseal")
    assert again.returncode == 0 and "0 values resealed" in again.stdout
    authsvc.stop()
    keys.configure(authsvc, "second").start()
    tokens = door.refresh(tokens["refresh_token"]).tokens
    assert door.userinfo(tokens["access_token"]).reason is None
    assert door.mfa_verify(waiting, otp=app.code()).reason is None
    assert door.mfa_verify(door.login().mfa_token, recovery_code=codes[0]).reason is None
    assert '"values-resealed"' in authsvc.process.log()
    assert keys["first"].hex() not in authsvc.process.log() and keys["second"].hex() not in authsvc.process.log()


def test_a_former_key_that_is_missing_is_named_at_the_start(authsvc, keys):
    authsvc.stop()
    keys.configure(authsvc, "second")
    argv = [str(program("authsvc/cw-authsvc")), "--config", str(authsvc.config)]
    r = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert r.returncode == 2
    assert fingerprint(keys["first"]) in r.stderr and fingerprint(keys["second"]) in r.stderr and "other-kek-files" in r.stderr
    keys.configure(authsvc, "second", "first").start()
    assert Rest(authsvc).login().reason is None


def test_a_damaged_row_costs_its_owner_only(authsvc, keys, sql):
    door = Rest(authsvc)
    enrol(door)
    authsvc.stop()
    authsvc.add_user("clinicwave", BERT, PASSWORD).start()
    berts, _ = enrol(door, BERT)
    authsvc.stop()
    ((subject, sealed),) = sql.rows("subject", "sealed", f"FROM user_totp WHERE subject = (SELECT subject FROM app_user WHERE username = '{ANNA}')")
    damaged = sealed[:1] + bytes(b ^ 0xFF for b in sealed[1:9]) + sealed[9:]
    sql.run(f"UPDATE user_totp SET sealed = {sql.blob(damaged)} WHERE subject = '{subject}';")
    authsvc.start()
    assert f"totp clinicwave/{subject}" in next(line for line in authsvc.process.log().splitlines() if '"values-damaged"' in line)
    assert door.login(otp="123456").reason == "sealed_unreadable"
    assert f'"user.id":"{subject}"' in next(line for line in authsvc.process.log().splitlines() if '"sealed_unreadable"' in line)
    assert door.login(username=BERT, otp=berts.code()).reason is None
    assert {f: state for f, (state, _) in status(authsvc).items()} == {fingerprint(keys["first"]): "current", damaged[1:9].hex(): "damaged"}
    shown = cwctl(authsvc, "status")
    assert shown.returncode == 0 and "1 values are damaged" in shown.stdout, shown
    assert cwctl(authsvc, "reseal").returncode == 0
    Admin(authsvc).stub.ResetMfa(tenant="clinicwave", username=ANNA)
    assert door.login().reason is None
    assert status(authsvc).keys() == {fingerprint(keys["first"])}


@pytest.mark.parametrize("place", [1, -1], ids=["the-name-of-its-key", "its-end"])
def test_a_damaged_session_of_a_provider_costs_its_owner_only(directory, ending, request, place):
    world = idp_world.start(directory, ending, ending(Idp("auth0")))
    damaged, whole = world.login().tokens, world.login().tokens
    sql = Sql(world.authsvc, request)
    world.authsvc.stop()
    row = f"session_id = '{damaged['session_id']}'"
    ((_, sealed),) = sql.rows("session_id", "sealed", f"FROM idp_session WHERE {row}")
    changed = bytearray(sealed)
    changed[place] ^= 0xFF
    sql.run(f"UPDATE idp_session SET sealed = {sql.blob(changed)} WHERE {row};")
    world.authsvc.start()
    for _ in range(2):  # no matter how often: the claim is given back
        assert world.refresh(damaged["refresh_token"]).reason == "sealed_unreadable"
    assert world.refresh(whole["refresh_token"]).reason is None
    assert world.door.logout(refresh_token=damaged["refresh_token"], domain=idp_world.ABOTT).reason is None
    assert world.refresh(damaged["refresh_token"]).reason == "refresh_invalid"
    assert world.refresh(world.login().tokens["refresh_token"]).reason is None


def test_a_secret_that_leaked_is_made_anew(authsvc, keys, sql):
    """The steps of docs/OPERATIONS.md."""
    door = Rest(authsvc)
    app, codes = enrol(door)
    used = door.login(otp=app.code()).tokens["refresh_token"]
    last = door.refresh(used).tokens["refresh_token"]
    authsvc.stop()
    keys.configure(authsvc, "second", "first").start()
    assert cwctl(authsvc, "reseal").returncode == 0
    authsvc.stop()
    before = dict(sql.rows("name", "sealed", "FROM app_secret"))
    sql.run("DELETE FROM app_secret WHERE name IN ('refresh-tokens', 'recovery-codes');")
    keys.configure(authsvc, "second").start()
    successor = door.refresh(last).tokens["refresh_token"]
    assert door.refresh(used).reason == "refresh_invalid"  # of before, and it ends nothing
    assert door.refresh(successor).reason is None
    assert "refresh-token-reused" not in authsvc.process.log()
    assert door.mfa_verify(door.login().mfa_token, recovery_code=codes[0]).reason == "mfa_invalid"
    authsvc.stop()
    after = dict(sql.rows("name", "sealed", "FROM app_secret"))
    assert before.keys() == after.keys()
    for name in before:
        plain = [AESGCM(keys["second"]).decrypt(s[name][9:21], s[name][21:], b"secret\0" + name.encode()) for s in (before, after)]
        assert plain[0] != plain[1], name


def test_former_keys_come_as_credentials_of_systemd(authsvc, keys, directory):
    authsvc.stop()
    config = yaml.safe_load(authsvc.config.read_text())
    del config["authsvc"]["keys"]
    authsvc.config.write_text(yaml.safe_dump(config))
    (directory / "credentials").mkdir()
    for name, key in {"authsvc.kek": keys["second"], "authsvc.kek-2025": keys["first"]}.items():
        (directory / "credentials" / name).write_bytes(key)
        (directory / "credentials" / name).chmod(0o400)
    authsvc.process.environment = {**os.environ, "CREDENTIALS_DIRECTORY": str(directory / "credentials")}
    authsvc.start()
    assert {f: state for f, (state, _) in status(authsvc).items()} == {fingerprint(keys["second"]): "current", fingerprint(keys["first"]): "other"}
    assert Rest(authsvc).login().reason is None


def test_only_the_local_operator_may(start):
    authsvc = start(**{"admin-role": "doctor"})
    token = Rest(authsvc).login().tokens["access_token"]
    stub = rpc.Stub(rpc.channel(authsvc.socket), "clinicwave.identity.v1.AdminService")
    bearer = [("authorization", f"Bearer {token}")]
    assert refused(lambda: stub.ListEncryptionKeys(metadata=bearer))[0] == "subject_forbidden"
    assert refused(lambda: stub.ResealValues(metadata=bearer))[0] == "subject_forbidden"
    own = Admin(authsvc).stub
    assert len(own.ListEncryptionKeys().keys) == 1
    assert refused(lambda: own.ResealValues(page_token=b"nonsense"))[0] == "request_malformed"


def test_kill_9_in_the_middle_loses_nothing(authsvc, keys, sql):
    authsvc.stop()
    secrets = crowd(sql, keys["first"], 1500)
    keys.configure(authsvc, "second", "first").start()
    moved = 0
    for _ in range(6):
        # A transaction for each few: so that it is in the middle of one, and of all, when it ends.
        argv = [str(a) for a in (program("cwctl/cwctl"), "encryption-key", "reseal", "--batch", 5, "--quiet", "--run-dir", authsvc.directory)]
        resealing = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        until("it goes on", lambda: status(authsvc)[fingerprint(keys["second"])][1] > moved, 60)
        time.sleep(random.random() * 0.1)
        authsvc.process.kill()
        out, err = resealing.communicate(timeout=120)
        assert resealing.returncode == 2 and "nothing is lost" in err or resealing.returncode == 0, (out, err)
        moved = assert_ledger(sql, keys, secrets)["second"]
        authsvc.start()
        if moved == len(secrets):
            break
    done = cwctl(authsvc, "reseal", "--quiet")
    assert done.returncode == 0, done
    authsvc.stop()
    assert assert_ledger(sql, keys, secrets) == {"first": 0, "second": len(secrets)}
    keys.configure(authsvc, "second").start()
    name = random.choice(list(secrets))
    assert Rest(authsvc).login(username=name, otp=app(secrets[name]).code()).reason is None


def app(secret):
    totp = Totp("")
    totp.key = secret
    return totp


def test_logins_go_on_meanwhile_and_two_may_reseal_at_once(authsvc, keys, sql):
    authsvc.stop()
    secrets = crowd(sql, keys["first"], 400)
    keys.configure(authsvc, "second", "first").start()
    over, refused_logins, done = threading.Event(), [], []

    def log_in(part):
        door = Rest(authsvc)
        for name in part:
            outcome = door.login(username=name, otp=app(secrets[name]).code())
            done.append(name)
            if outcome.reason is not None:
                refused_logins.append((name, outcome))
            if over.is_set() and len(done) >= 40:
                return

    names = list(secrets)
    random.shuffle(names)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        logins = [pool.submit(log_in, names[i::2]) for i in range(2)]
        resealing = [pool.submit(cwctl, authsvc, "reseal", "--batch", 3, "--quiet") for _ in range(2)]
        codes = [r.result() for r in resealing]
        over.set()
        for login in logins:
            login.result()
    assert not refused_logins, refused_logins[:3]
    assert min(r.returncode for r in codes) == 0, codes
    assert cwctl(authsvc, "reseal").returncode == 0
    authsvc.stop()
    assert assert_ledger(sql, keys, secrets) == {"first": 0, "second": len(secrets)}
