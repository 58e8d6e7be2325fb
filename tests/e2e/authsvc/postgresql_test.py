"""PostgreSQL that goes away, comes back, stands still, is full or read-only: clear errors, nothing lost, nothing half done."""
import concurrent.futures
import contextlib
import os
import pathlib
import re
import socket
import subprocess
import threading
import time

import httpx
import pytest
import yaml

from tests.e2e.authsvc.doors import ANNA, PASSWORD, Rest, document
from tests.support.certificates import Authority
from tests.support.postgresql import PostgreSQL
from tests.support.programs import free_port, program, until
from tests.support.stack import Authsvc

QUICK = {"connections": 4, "connect-timeout": "2s", "statement-timeout": "1s"}
PATIENT = {"connect-timeout": "60s", "statement-timeout": "60s"}  # where giving up is not the point


@pytest.fixture
def server(ending):
    """A server that the test may hurt."""
    return ending(PostgreSQL()).start()


def start(directory, ending, url, tenant=(), **store):
    changes = {"authsvc": {"store": {**QUICK, **store}}}
    return ending(Authsvc(directory, document(**dict(tenant), **changes), url).add_user("clinicwave", ANNA, PASSWORD)).start()


@pytest.fixture
def authsvc(directory, ending, server):
    authsvc = start(directory, ending, server.fresh())
    authsvc.schema = "t0"
    return authsvc


def database(authsvc):
    health = httpx.get(f"http://127.0.0.1:{authsvc.management}/actuator/health", timeout=20).json()
    return health["components"]["database"]["status"]


def refreshed(door, token):
    """The successor, as soon as the database is back."""
    outcomes = []

    def good():
        outcomes.append(door.refresh(token))
        return outcomes[-1].reason is None
    until("refreshes work", good, 30)
    assert {o.reason for o in outcomes[:-1]} <= {"store_unavailable", "store_uncertain"}
    return outcomes[-1].tokens["refresh_token"]


def unavailable(door, token):
    outcome = door.refresh(token)
    return (outcome.reason, outcome.status) == ("store_unavailable", 503) and outcome.retry_after >= 1


def test_a_server_that_is_gone_and_comes_back(authsvc, server):
    door = Rest(authsvc)
    token = door.login().tokens["refresh_token"]
    assert database(authsvc) == "UP"
    server.kill()
    until("the failure is told", lambda: unavailable(door, token))  # perhaps uncertain at first
    begin = time.monotonic()
    for _ in range(20):
        assert door.login().reason == "store_unavailable"
        assert unavailable(door, token)
    assert time.monotonic() - begin < 20, "while it is away, callers are told at once"
    assert database(authsvc) == "DOWN"
    assert '"store-failed"' in authsvc.process.log()
    server.start()
    successor = refreshed(door, token)
    until("health knows", lambda: database(authsvc) == "UP")
    assert door.refresh(token).tokens["refresh_token"] == successor
    assert door.login(address="192.0.2.5").reason is None  # a failure of ours counted against nobody


def test_a_restart_between_two_calls_is_not_noticed(directory, ending, server):
    authsvc = start(directory, ending, server.fresh(), **PATIENT)
    door = Rest(authsvc)
    token = door.login().tokens["refresh_token"]
    for _ in range(3):
        server.halt()
        server.start()
        # What runs by itself may have met the server while it was away, and then waits before it tries again.
        until("the server is found", lambda: database(authsvc) == "UP", 60)
        outcome = door.refresh(token)
        assert outcome.reason is None, outcome
        token = outcome.tokens["refresh_token"]


def test_a_server_that_stands_still_is_given_up(authsvc, server):
    door = Rest(authsvc)
    token = door.login().tokens["refresh_token"]
    server.pause()
    try:
        begin = time.monotonic()
        assert door.refresh(token).reason in ("store_unavailable", "store_uncertain")  # it may go on, and do it
        until("callers are told at once", lambda: timed(lambda: unavailable(door, token)) < 0.5, 30)
        assert time.monotonic() - begin < 40
        assert database(authsvc) == "DOWN"
    finally:
        server.go_on()
    refreshed(door, token)


def test_a_refresh_that_is_done_late_can_be_repeated(directory, ending, server):
    """The server got it, stood still for longer than the grace, and then did it: nobody has the successor yet."""
    authsvc = start(directory, ending, server.fresh(), tenant={"refresh-token-grace": "2s"})
    door = Rest(authsvc)
    token = door.login().tokens["refresh_token"]

    def generation():
        return int(server.psql("SELECT generation FROM refresh_family", "t0"))

    def sent_in_vain(token):
        server.pause()
        try:
            reason = door.refresh(token).reason
            time.sleep(3 if reason == "store_uncertain" else 0)
        finally:
            server.go_on()
        return reason == "store_uncertain"
    for _ in range(20):
        token = refreshed(door, token)  # its connection knows the statements now, and is the next one's unless somebody else takes it
        before = generation()
        if sent_in_vain(token):
            break
    else:
        raise AssertionError("no refresh was sent")
    until("it has been done", lambda: generation() == before + 1, 60)
    refreshed(door, token)


def test_a_database_that_stands_still_holds_up_its_own_check_only(directory, ending, server):
    """A probe of liveness that waited behind a probe of readiness would have the process restarted."""
    authsvc = start(directory, ending, server.fresh(), **PATIENT)
    server.pause()
    try:
        with socket.create_connection(("127.0.0.1", authsvc.management)) as waiting:
            waiting.sendall(b"GET /actuator/health HTTP/1.1\r\nHost: authsvc\r\nConnection: close\r\n\r\n")
            for path in ("/actuator/health/liveness", "/actuator/info", "/actuator/prometheus"):
                assert httpx.get(f"http://127.0.0.1:{authsvc.management}{path}", timeout=30).status_code == 200
            waiting.setblocking(False)
            with pytest.raises(BlockingIOError):
                waiting.recv(1)
            waiting.setblocking(True)
            server.go_on()
            assert waiting.makefile("rb").readline().split()[1] in (b"200", b"503")
    finally:
        server.go_on()


@contextlib.contextmanager
def beside(server, schema, change):
    """A change that is not committed yet. What is yielded commits it."""
    psql = subprocess.Popen(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", server.url(schema)],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def say(text):
        psql.stdin.write(text)
        psql.stdin.flush()
        return psql.stdout.readline().strip()
    try:
        assert say(f"BEGIN; {change}; SELECT 'held';\n") == "held"
        yield lambda: say("COMMIT; SELECT 'done';\n")
    finally:
        psql.kill()
        psql.communicate()


WAITING = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cw-authsvc' AND wait_event_type = 'Lock'"


@pytest.mark.parametrize("change, reason", [
    ("password_changed_at = password_changed_at + 1", "credentials_invalid"),
    ("password_expired_at = 1", "password_expired"),
    ("disabled_at = 1", "account_blocked"),
    ("updated_at = updated_at + 1", None),
])
def test_a_login_beside_a_change_of_its_user(directory, ending, server, change, reason):
    authsvc = start(directory, ending, server.fresh(), **PATIENT)
    door = Rest(authsvc)
    with beside(server, "t0", f"UPDATE app_user SET {change}") as commit, concurrent.futures.ThreadPoolExecutor(1) as pool:
        login = pool.submit(door.login)  # its password is right: it has been checked when the session starts
        until("the login waits", lambda: server.psql(WAITING) == "1", 60)
        assert commit() == "done"
        assert login.result().reason == reason


def timed(call):
    begin = time.monotonic()
    assert call()
    return time.monotonic() - begin


def test_connections_that_are_cut_in_the_middle_lose_nothing(directory, ending, server):
    authsvc = start(directory, ending, server.fresh(), **PATIENT)
    stop, counted, logged_in = threading.Event(), [], threading.Barrier(4)

    def refresh():
        door = Rest(authsvc)
        token = door.login().tokens["refresh_token"]
        successors = {}
        logged_in.wait(120)
        while not stop.is_set():
            outcome = door.refresh(token)
            assert outcome.reason in (None, "store_unavailable", "store_uncertain"), outcome
            if outcome.reason is None:
                assert successors.setdefault(token, outcome.tokens["refresh_token"]) == outcome.tokens["refresh_token"]
                token = outcome.tokens["refresh_token"]
        assert refreshed(door, token)
        counted.append(len(successors))

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        workers = [pool.submit(refresh) for _ in range(3)]
        logged_in.wait(120)
        for _ in range(15):
            server.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cw-authsvc'")
            time.sleep(0.1)
        stop.set()
        for w in workers:
            w.result()
    assert min(counted) > 3


class Cutter:
    """Between authsvc and the server; `cut` says what happens to the next round trip that redeems a refresh token, which also commits it."""

    REDEEMS = re.compile(rb"(s\d+)\0UPDATE refresh_family SET generation = generation")  # as it is prepared: its name

    def __init__(self, directory, server):
        self.path, self.upstream, self.cut, self.cuts = directory / ".s.PGSQL.5432", server.directory / ".s.PGSQL.5432", None, 0
        self.name = None  # of the statement, once it has been prepared
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen(16)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                down, up = self.listener.accept()[0], socket.socket(socket.AF_UNIX)
                up.connect(str(self.upstream))
                muted = threading.Event()  # answers stay here
                threading.Thread(target=self.copy, args=(down, up, True, muted), daemon=True).start()
                threading.Thread(target=self.copy, args=(up, down, False, muted), daemon=True).start()

    def redeems(self, data):
        prepared = self.REDEEMS.search(data)
        self.name = prepared[1] if prepared else self.name
        return prepared is None and self.name is not None and b"\0" + self.name + b"\0" in data

    def forward(self, data, sink):
        """What of the round trip still gets there before the end."""

    def copy(self, source, sink, requests, muted):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if requests and self.redeems(data) and self.cut:
                    if self.cut == "after":  # it happens, and nobody hears of it
                        muted.set()
                        sink.sendall(data)
                        time.sleep(0.5)
                    self.forward(data, sink)
                    self.cut, self.cuts = None, self.cuts + 1
                    break
                if requests or not muted.is_set():
                    sink.sendall(data)
        for s in (source, sink):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def stop(self):
        self.listener.close()


@pytest.mark.parametrize("cut, generation", [("before", "0"), ("after", "1")])
def test_a_commit_that_is_lost_is_told_as_such_and_repeating_it_is_safe(directory, ending, server, cut, generation):
    (directory / "proxy").mkdir()
    proxy = ending(Cutter(directory / "proxy", server))
    authsvc = start(directory, ending, server.fresh().replace(f"host={server.directory}", f"host={directory}/proxy"))
    door = Rest(authsvc)
    token = door.login().tokens["refresh_token"]
    proxy.cut = cut
    outcome = door.refresh(token)
    assert (outcome.reason, outcome.status) == ("store_uncertain", 503) and proxy.cuts == 1
    until("nothing is under way", lambda: server.psql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cw-authsvc' AND state <> 'idle'") == "0")
    assert server.psql("SELECT generation FROM refresh_family", "t0") == generation
    successor = door.refresh(token)
    assert successor.reason is None
    assert door.refresh(successor.tokens["refresh_token"]).reason is None
    assert server.psql("SELECT generation FROM refresh_family", "t0") == "2"


def test_a_full_disk_is_an_error_of_ours_and_passes(authsvc, server):
    door = Rest(authsvc)
    token = door.login().tokens["refresh_token"]
    # A table that must grow soon, and is beyond the limit.
    server.psql("SET session_replication_role = replica; INSERT INTO refresh_family SELECT 'x', decode(md5(i::text), 'hex'), 'x', 0, repeat('x', 32)::bytea, NULL,"
                " 0, 0, 0 FROM generate_series(1, 10000) AS i; CHECKPOINT", "t0")
    # Somebody still looks at the old rows: there is no room where they are.
    reader = subprocess.Popen(["psql", "-XAtq", server.url("t0")], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        reader.stdin.write("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM refresh_family;\n")
        reader.stdin.flush()
        until("the rows are looked at", lambda: server.psql("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'") == "1")
        server.limit_files(1024 * 1024)
        for _ in range(300):
            outcome = door.refresh(token)
            if outcome.reason is not None:
                break
            token = outcome.tokens["refresh_token"]
        assert (outcome.reason, outcome.status) == ("store_unavailable", 503) and outcome.retry_after >= 1
        assert "could not extend file" in authsvc.process.log()
        assert unavailable(door, token)
        assert database(authsvc) == "UP"  # it answers, and what it can do it does
    finally:
        reader.kill()
        reader.wait()
        server.limit_files("unlimited")
    successor = refreshed(door, token)
    assert door.refresh(token).tokens["refresh_token"] == successor


def test_a_read_only_database_is_told_and_passes(authsvc, server):
    door = Rest(authsvc)
    token = door.login().tokens["refresh_token"]
    server.psql("ALTER ROLE postgres SET default_transaction_read_only = on")
    server.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cw-authsvc'")
    until("writes are refused", lambda: unavailable(door, token))
    assert "read-only transaction" in authsvc.process.log()
    server.psql("SET default_transaction_read_only = off; ALTER ROLE postgres RESET default_transaction_read_only")
    refreshed(door, token)


def test_a_row_that_another_holds_is_waited_for_but_not_for_ever(authsvc, server):
    door = Rest(authsvc)
    token = door.login().tokens["refresh_token"]
    holder = subprocess.Popen(["psql", "-XAtq", server.url("t0")], stdin=subprocess.PIPE, text=True)
    try:
        holder.stdin.write("BEGIN; SELECT 1 FROM refresh_family FOR UPDATE;\n")
        holder.stdin.flush()
        until("the row is held", lambda: server.psql("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'") == "1")
        until("the server gives up before we do", lambda: unavailable(door, token) and "statement timeout" in authsvc.process.log(), 60)
    finally:
        holder.kill()
        holder.wait()
    refreshed(door, token)


def test_a_busy_pool_is_waited_for(authsvc):
    doors = [Rest(authsvc) for _ in range(24)]  # six times its connections
    tokens = [door.login().tokens["refresh_token"] for door in doors]
    with concurrent.futures.ThreadPoolExecutor(len(doors)) as pool:
        assert {o.reason for o in pool.map(lambda j: j[0].refresh(j[1]), zip(doors, tokens))} == {None}


def test_the_password_comes_from_a_file_and_is_in_no_log(directory, ending, server):
    secret = "s3cret-of-the-database"
    server.psql(f"CREATE ROLE secret LOGIN PASSWORD '{secret}'; CREATE SCHEMA mine AUTHORIZATION secret")
    file = directory / "password"
    file.write_text(secret + "\n")
    authsvc = start(directory, ending, server.url("mine", user="secret"), **{"password-file": str(file)})
    assert Rest(authsvc).login().reason is None
    assert secret not in authsvc.process.log()
    # A new password is read by the next connection.
    server.psql("ALTER ROLE secret PASSWORD 'another'")
    file.write_text("another\n")
    server.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'secret'")
    until("it is connected again", lambda: Rest(authsvc).login().reason is None)
    authsvc.stop()
    file.write_text("wrong\n")
    r = subprocess.run([program("authsvc/cw-authsvc"), "--config", authsvc.config], capture_output=True, text=True, timeout=60)
    assert r.returncode == 2 and "password authentication failed" in r.stderr and "wrong" not in r.stderr


def keepalives(port):
    """What the kernel waits for on the server's connections: the kind of timer (2: keepalive), and when, in seconds."""
    rows = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    timers = [row[5].split(":") for row in rows if row[1] == f"0100007F:{port:04X}" and row[3] == "01"]
    return [(int(kind), int(when, 16) / os.sysconf("SC_CLK_TCK")) for kind, when in timers]


def test_a_server_on_the_network_soon_misses_a_host_that_is_gone(directory, ending):
    port = free_port()
    server = ending(PostgreSQL(tcp_port=port)).prepare()
    with open(server.directory / "data/pg_hba.conf", "a") as rules:
        rules.write("host all all 127.0.0.1/32 trust\n")
    server.start()
    server.psql("CREATE ROLE remote LOGIN; CREATE SCHEMA mine AUTHORIZATION remote")
    url = f"postgresql://remote@127.0.0.1:{port}/postgres?options=-csearch_path%3Dmine"
    authsvc = start(directory, ending, url, **{"statement-timeout": "20s"})
    assert Rest(authsvc).login().reason is None
    # Without this, it would be two hours until the first question whether anybody is still there.
    until("each connection is asked about in time", lambda: (t := keepalives(port)) and all(kind == 2 and when <= 20 for kind, when in t), 60)


def test_a_server_on_the_network_is_recognised_by_its_certificate(directory, ending, authority):
    port = free_port()
    certificate, key = authority.issue("127.0.0.1")
    server = ending(PostgreSQL("listen_addresses=127.0.0.1", f"port={port}", "ssl=on", "ssl_cert_file=server.pem", "ssl_key_file=server.key")).prepare()
    server.give("server.pem", certificate.read_bytes())
    server.give("server.key", key.read_bytes())
    server.port = port
    server.start()
    server.psql("CREATE ROLE remote LOGIN PASSWORD 'x'; CREATE SCHEMA mine AUTHORIZATION remote")
    password = directory / "password"
    password.write_text("x\n")
    url = f"postgresql://remote@127.0.0.1:{port}/postgres?options=-csearch_path%3Dmine&sslmode=verify-full&sslrootcert="
    authsvc = start(directory, ending, f"{url}{authority.ca}", **{"password-file": str(password)})
    assert Rest(authsvc).login().reason is None
    assert server.psql("SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'remote'") == "t"
    authsvc.stop()
    (directory / "other").mkdir()
    authsvc.config.write_text(authsvc.config.read_text().replace(str(authority.ca), str(Authority(directory / "other").ca)))
    r = subprocess.run([program("authsvc/cw-authsvc"), "--config", authsvc.config], capture_output=True, text=True, timeout=60)
    assert r.returncode == 2 and "SSL error" in r.stderr


@pytest.mark.parametrize("url, message", [
    ("postgresql://a:hidden@/x?host=/tmp", "password"), ("postgresql://db.internal/x", "sslmode"), ("postgresql://[hidden", "no URL of PostgreSQL"),
    ("postgresql:///x?nonsense=hidden", "no URL of PostgreSQL"), ("mysql://hidden@x", "no store"), ("postgresql:///x?client_encoding=LATIN1", "UTF8")])
def test_a_wrong_url_is_refused_without_showing_it(directory, url, message):
    path = directory / "wrong.yaml"
    path.write_text(yaml.safe_dump(document(authsvc={"store": {"url": url}})))
    r = subprocess.run([program("authsvc/cw-authsvc"), "--config", path, "--check-config"], capture_output=True, text=True, timeout=60)
    assert r.returncode == 1 and message in r.stderr and "authsvc.store.url" in r.stderr and "hidden" not in r.stderr


def test_a_server_that_is_not_there_is_told_at_the_start(directory):
    path = directory / "away.yaml"
    path.write_text(yaml.safe_dump(document(authsvc={"run-dir": str(directory), "state-dir": str(directory), "store": {"url": f"postgresql:///x?host={directory}"}})))
    r = subprocess.run([program("authsvc/cw-authsvc"), "--config", path], capture_output=True, text=True, timeout=60)
    assert r.returncode == 2 and "the database cannot be reached" in r.stderr and str(directory) in r.stderr


def test_a_schema_of_a_newer_version_is_left_alone(authsvc, server):
    authsvc.stop()
    server.psql("INSERT INTO schema_migration VALUES (999, 'of the future', 0)", "t0")
    r = subprocess.run([program("authsvc/cw-authsvc"), "--config", authsvc.config], capture_output=True, text=True, timeout=60)
    assert r.returncode == 2 and "schema version 999" in r.stderr


def test_a_database_of_another_encoding_is_refused(directory, server):
    server.psql("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    path = directory / "latin.yaml"
    url = f"postgresql://postgres@/latin?host={server.directory}"
    path.write_text(yaml.safe_dump(document(authsvc={"run-dir": str(directory), "state-dir": str(directory), "store": {"url": url}})))
    r = subprocess.run([program("authsvc/cw-authsvc"), "--config", path], capture_output=True, text=True, timeout=60)
    assert r.returncode == 2 and "UTF8" in r.stderr
