"""Crashes, a second process, wrong files: nothing acknowledged is lost, and each failure says what to do."""
import concurrent.futures
import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import threading
import time

import httpx
import pytest
import yaml

from tests.e2e.authsvc.doors import ANNA, HOST, PASSWORD, Rest, document
from tests.support.programs import program


def run(*argv, typed=""):
    return subprocess.run([str(program("authsvc/cw-authsvc")), *map(str, argv)], input=typed, text=True, capture_output=True, timeout=30)


def test_a_second_authsvc_is_told_who_has_the_database(authsvc):
    r = run("--config", authsvc.config)
    assert r.returncode == 2
    assert f"in use by process {authsvc.process.pid}" in r.stderr
    assert Rest(authsvc).login().reason is None


def test_kill_9_during_refreshes_loses_nothing_and_redeems_nothing_twice(start):
    authsvc = start()
    chain = [Rest(authsvc).login().tokens["refresh_token"]]
    successors = {}  # the ledger: a token that was answered, and with what
    for _ in range(6):
        stop = threading.Event()

        def refresh():
            door = Rest(authsvc)
            while not stop.is_set():
                try:
                    outcome = door.refresh(chain[-1])
                except httpx.HTTPError:
                    return
                assert outcome.reason is None, f"an acknowledged token was lost: {outcome}"
                successors.setdefault(chain[-1], set()).add(outcome.tokens["refresh_token"])
                chain.append(outcome.tokens["refresh_token"])

        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            worker = pool.submit(refresh)
            grown = len(chain) + 2
            wait_for(lambda: len(chain) >= grown or worker.done())
            time.sleep(random.random() * 0.05)
            authsvc.process.kill()
            stop.set()
            worker.result()
        authsvc.start()
    door = Rest(authsvc)
    last = door.refresh(chain[-1])
    assert last.reason is None, "the token that was acknowledged last is good"
    assert all(len(s) == 1 for s in successors.values()), "one token, one successor"
    assert len(chain) == len(set(chain)) > 6
    assert door.refresh(chain[0]).reason == "refresh_invalid"  # reuse
    assert door.refresh(last.tokens["refresh_token"]).reason == "refresh_invalid"  # and the session is over


def waiting(authsvc):
    """Logins in the queue."""
    health = httpx.get(f"http://127.0.0.1:{authsvc.management}/actuator/health").json()
    return health["components"]["logins"]["details"]["waiting"]


def test_what_has_been_accepted_is_answered_before_the_end(start):
    authsvc = start(authsvc={"password": {"memory": "32MiB", "iterations": 12}, "login": {"threads": 1}})
    doors = [Rest(authsvc) for _ in range(6)]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        logins = [pool.submit(door.login) for door in doors]
        wait_for(lambda: waiting(authsvc) >= 2)
        assert authsvc.stop() == 0
        answered = [f.exception() or f.result().reason for f in logins]
    assert answered.count(None) >= 3  # who came too late was not let in
    assert '"stopped"' in authsvc.process.log()


def test_the_database_file_and_the_keys_are_private(authsvc):
    state = authsvc.directory / "state"
    assert (state / "authsvc.db").stat().st_mode & 0o077 == 0
    assert (state / "authsvc.kek").stat().st_mode & 0o377 == 0
    blob = b"".join(p.read_bytes() for p in state.glob("authsvc.db*"))
    for secret in (b"PRIVATE KEY", PASSWORD.encode(), Rest(authsvc).login().tokens["refresh_token"].encode()[4:]):
        assert secret not in blob


def test_a_credential_of_systemd_is_the_kek(authsvc):
    state, credentials = authsvc.directory / "state", authsvc.directory / "credentials"
    token = Rest(authsvc).login().tokens["refresh_token"]
    assert authsvc.stop() == 0
    credentials.mkdir()
    (state / "authsvc.kek").rename(credentials / "authsvc.kek")
    authsvc.process.environment = {**os.environ, "CREDENTIALS_DIRECTORY": str(credentials)}
    authsvc.start()
    assert Rest(authsvc).refresh(token).reason is None  # derived from it
    assert not (state / "authsvc.kek").exists()
    assert authsvc.stop() == 0
    (credentials / "authsvc.kek").chmod(0o600)
    (credentials / "authsvc.kek").write_bytes(bytes(range(32)))
    r = subprocess.run([program("authsvc/cw-authsvc"), "--config", authsvc.config], env=authsvc.process.environment, capture_output=True, text=True, timeout=60)
    assert r.returncode == 2 and "another key-encryption key" in r.stderr


def test_a_lost_kek_is_not_replaced(authsvc):
    authsvc.stop()
    (authsvc.directory / "state/authsvc.kek").unlink()
    r = run("--config", authsvc.config)
    assert r.returncode == 2 and "authsvc.kek is missing" in r.stderr


def test_a_full_disk_is_an_error_of_ours_and_passes(authsvc):
    door = Rest(authsvc)
    token = door.login().tokens["refresh_token"]
    limit = ["prlimit", "--pid", str(authsvc.process.pid)]
    subprocess.run([*limit, "--fsize=1024:unlimited"], check=True)
    outcome = door.refresh(token)
    assert (outcome.reason, outcome.status) == ("store_unavailable", 503) and outcome.retry_after >= 1
    for _ in range(20):  # our failure is not the user's: nobody is throttled for it
        assert door.login(password="wrong").reason in ("store_unavailable", "credentials_invalid")
    assert '"store-failed"' in authsvc.process.log()
    health = lambda: httpx.get(f"http://127.0.0.1:{authsvc.management}/actuator/health").json()["components"]["database"]["status"]
    assert health() == "DOWN", "what was written can still be read: that alone is not well"
    subprocess.run([*limit, "--fsize=unlimited:unlimited"], check=True)
    assert health() == "UP"
    assert door.refresh(token).reason is None
    assert door.login(address="192.0.2.77").reason is None


def test_a_database_of_a_newer_version_is_left_alone(authsvc):
    authsvc.stop()
    database = authsvc.directory / "state/authsvc.db"
    with contextlib.closing(sqlite3.connect(database)) as db:
        db.execute("INSERT INTO schema_migration VALUES (999, 'of the future', 0)")
        db.commit()
    r = run("--config", authsvc.config)
    assert r.returncode == 2 and "schema version 999" in r.stderr


def test_a_file_that_is_no_database_is_told(authsvc):
    authsvc.stop()
    for name in ("authsvc.db-wal", "authsvc.db-shm"):
        (authsvc.directory / "state" / name).unlink(missing_ok=True)
    (authsvc.directory / "state/authsvc.db").write_bytes(b"not a database" * 1000)
    r = run("--config", authsvc.config)
    assert r.returncode == 2 and "authsvc.db" in r.stderr


def test_a_damaged_database_is_told_and_nothing_else_is_said(authsvc):
    door = Rest(authsvc)
    token = door.login().tokens["refresh_token"]
    authsvc.stop()
    database = authsvc.directory / "state/authsvc.db"
    pages = database.read_bytes()
    size = int.from_bytes(pages[16:18], "big")
    with contextlib.closing(sqlite3.connect(database)) as db:
        roots = [r for r, in db.execute("SELECT rootpage FROM sqlite_master WHERE tbl_name = 'refresh_family' AND rootpage > 0")]
    damaged = bytearray(database.read_bytes())
    for root in roots:
        damaged[(root - 1) * size:root * size] = b"\xa5" * size
    database.write_bytes(damaged)
    authsvc.start()
    outcome = door.refresh(token)
    assert (outcome.reason, outcome.status) == ("store_unavailable", 503)
    assert "malformed" in authsvc.process.log() and '"store-failed"' in authsvc.process.log()
    assert door.login(password="wrong").reason == "credentials_invalid"  # the users are whole
    assert authsvc.process.running


def test_a_database_that_may_not_be_written_is_told(authsvc):
    authsvc.stop()
    database = authsvc.directory / "state/authsvc.db"
    database.chmod(0o400)
    plain = []
    if os.access(database, os.W_OK):  # root: without its right to write everything
        plain = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    r = subprocess.run([*plain, program("authsvc/cw-authsvc"), "--config", authsvc.config], capture_output=True, text=True, timeout=60)
    assert r.returncode == 2 and "authsvc.db: Permission denied" in r.stderr


def test_a_busy_port_is_told(authsvc, directory):
    document = yaml.safe_load(authsvc.config.read_text())
    document["authsvc"].update({"run-dir": str(directory / "b"), "state-dir": str(directory / "b"), "store": {"url": f"sqlite:{directory}/b/a.db"}})
    (directory / "b.yaml").write_text(yaml.safe_dump(document))
    r = run("--config", directory / "b.yaml")
    assert r.returncode == 2 and str(authsvc.management) in r.stderr


def test_users_are_managed_offline(authsvc):
    user = ["--config", authsvc.config, "--tenant", "clinicwave", "--username"]
    assert run("user", "add", *user, "bob", typed="x\n").returncode == 2  # it runs
    authsvc.stop()
    assert run("user", "add", *user, ANNA, typed="another\n").returncode == 1
    assert run("user", "add", *user, ANNA.upper(), "--if-absent", typed="another\n").returncode == 0
    assert run("user", "add", *user, "empty", typed="\n").returncode == 1
    assert run("user", "add", "--config", authsvc.config, "--tenant", "nowhere", "--username", "a", typed="x\n").returncode == 1
    assert run("user", "add", *user, "bob", "--roles", "nurse", typed="päss wörd für den böb\n").returncode == 0
    assert run("user", "set-password", *user, ANNA, typed="changed for good reasons\n").returncode == 0
    assert run("user", "set-password", *user, ANNA, typed="clinicwave 2026 !!\n").returncode == 1  # the rules hold here, too
    assert run("user", "set-password", *user, "nobody", typed="changed for good reasons\n").returncode == 1
    assert run("user", "disable", *user, "bob").returncode == 0
    assert run("user", "fly", *user, "bob").returncode == 64
    assert run("user").returncode == 64
    door = Rest(authsvc.start())
    assert door.login(password=PASSWORD).reason == "credentials_invalid"
    assert door.login(password="changed for good reasons").reason is None
    # Blocked is told only to who knows the password.
    assert door.login("bob", "wrong").reason == "credentials_invalid"
    assert door.login("bob", "päss wörd für den böb").reason == "account_blocked"
    assert door.login("bob", "pa\u0308ss wörd für den böb").reason == "account_blocked"  # the same password, typed in another form


def test_a_disabled_user_is_not_refreshed(authsvc):
    token = Rest(authsvc).login().tokens["refresh_token"]
    authsvc.stop()
    assert run("user", "disable", "--config", authsvc.config, "--tenant", "clinicwave", "--username", ANNA).returncode == 0
    assert Rest(authsvc.start()).refresh(token).reason == "refresh_invalid"


def test_stronger_parameters_take_over_at_the_next_login(authsvc):
    authsvc.stop()
    r = subprocess.Popen([program("authsvc/cw-authsvc"), "--config", authsvc.config, "--authsvc.password.memory=64KiB"], stderr=subprocess.PIPE, text=True)
    try:
        authsvc.process.process = r
        door = Rest(authsvc)
        deadline = time.monotonic() + 30
        while True:
            try:
                assert door.login().reason is None
                break
            except httpx.ConnectError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        assert door.login().reason is None
    finally:
        r.terminate()
        log = r.communicate(timeout=30)[1]
    assert log.count('"rehashed"') == 1


@pytest.mark.parametrize("change, message", [
    ({"issuer": "ftp://x"}, "issuer"), ({"issuer": "https://user@x"}, "issuer"), ({"domains": ["a b"]}, "is no domain"), ({"clients": []}, "at least one client"),
    ({"clients": [{"id": "p", "origins": ["https://x/path"]}]}, "is no origin"), ({"origins": ["https://*.clinicwave.com"]}, "has a wildcard"),
    ({"origins": ["http://portal.clinicwave.com"]}, "for loopback only"), ({"origins": ["https://portal.clinicwave.com:443"]}, "own port"), ({"clients": [{"id": "p", "scopes": ["a b"]}]}, "is no scope"),
    ({"algorithm": "HS256"}, "algorithm"), ({"algorithm": "none"}, "algorithm"), ({"name": "other"}, "two tenants"), ({"issuer": "https://other.localhost:8443"}, "issuer"),
    ({"domains": ["other.localhost"]}, "same domain"), ({"nonsense": 1}, "nonsense"), ({"access-token-life": "2d"}, "access-token-life")])
def test_a_wrong_configuration_is_refused_with_its_place(directory, change, message):
    path = directory / "wrong.yaml"
    path.write_text(yaml.safe_dump(document(**change)))
    r = run("--config", path, "--check-config")
    assert r.returncode == 1 and message in r.stderr and "wrong.yaml:" in r.stderr


def test_a_reload_changes_tenants_or_nothing(authsvc):
    door = Rest(authsvc)
    wanted = yaml.safe_load(authsvc.config.read_text())
    wanted["tenants"].append({"name": "new", "domains": ["new.localhost"], "issuer": "https://new.localhost", "audiences": ["x"], "algorithm": "ES256",
                              "clients": [{"id": "portal"}]})
    authsvc.config.write_text(yaml.safe_dump(wanted))
    authsvc.process.signal(signal.SIGHUP)
    wait_for(lambda: "configuration-reloaded" in authsvc.process.log())
    assert door.login(domain="new.localhost").reason == "credentials_invalid"
    assert door.login().reason is None
    authsvc.config.write_text("tenants: [")
    authsvc.process.signal(signal.SIGHUP)
    wait_for(lambda: "configuration-refused" in authsvc.process.log())
    assert door.login(domain="new.localhost").reason == "credentials_invalid"


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_health_and_metrics_are_there(authsvc):
    Rest(authsvc).login()
    base = f"http://127.0.0.1:{authsvc.management}/actuator"
    assert httpx.get(f"{base}/health/readiness").json()["status"] == "UP"
    text = httpx.get(f"{base}/prometheus").text
    assert 'cw_authsvc_logins_total{' in text and 'outcome="ok"' in text
