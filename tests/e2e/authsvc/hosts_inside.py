"""One host with authsvc and its door (deploy/remote/authsvc-door.conf), others with a sidecar each; cables can be pulled.

    authsvc.sock ─ nginx :8444 ══ 10.77.1.0/24 ══ sidecar 1
                              ╚══ 10.77.2.0/24 ══ sidecar 2
"""
import subprocess
import time

import pytest

from tests.e2e.authsvc.doors import HOST, Rest
from tests.e2e.authsvc.logout_route_test import allowed, reason
from tests.support.certificates import Authority
from tests.support.hosts import Host, ip
from tests.support.programs import Program, accepting, listening, program, source, until
from tests.support.stack import Sidecar

MAX_STALE_S = 12


class Door:
    """nginx with the server block that operators use."""

    def __init__(self, directory, authsvc, authority):
        certificate, key = authority.issue("10.77.1.1", "10.77.2.1")
        text = source("deploy/remote/authsvc-door.conf").read_text()
        for path, real in (("/run/clinicwave/authsvc.sock", authsvc.socket), ("/etc/clinicwave/door.pem", certificate), ("/etc/clinicwave/door.key", key),
                           ("/etc/clinicwave/hosts-ca.pem", authority.ca)):
            assert path in text
            text = text.replace(path, str(real))
        paths = " ".join(f"{p}_temp_path {directory}/{p};" for p in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (directory / "nginx.conf").write_text(f"user root root;\ndaemon off;\npid {directory}/nginx.pid;\nevents {{ }}\n"
                                              f"http {{\naccess_log {directory}/access.log;\n{paths}\n{text}\n}}\n")
        self.process = Program("nginx", ["/usr/sbin/nginx", "-p", directory, "-c", directory / "nginx.conf", "-e", directory / "error.log"], directory)

    def start(self):
        self.process.start().until_ready(lambda: listening(8444))
        return self

    def stop(self):
        return self.process.stop()


def remote_sidecar(directory, host, authority, address=None, certificates=None):
    directory.mkdir()
    certificate, key = certificates or authority.issue(f"host{host.number}")
    sidecar = Sidecar(directory, [], sidecar={"authsvc": {"address": address or f"10.77.{host.number}.1:8444", "ca-file": str(authority.ca),
                                                          "certificate-file": str(certificate), "key-file": str(key), "max-stale": f"{MAX_STALE_S}s"}})
    sidecar.process.argv = [*host.inside, *sidecar.process.argv]
    return sidecar


@pytest.fixture
def hosts(ending):
    return [ending(Host(n)) for n in (1, 2)]


@pytest.fixture
def sidecars(hosts, authsvc, directory, authority, ending):
    (directory / "door").mkdir()
    ending(Door(directory / "door", authsvc, authority)).start()
    made = [ending(remote_sidecar(directory / f"s{h.number}", h, authority)) for h in hosts]
    for s in made:
        s.process.start().until_ready(lambda s=s: accepting(s.socket))
    return made


def seconds_until(sidecar, token, wanted):
    begin = time.monotonic()
    until(wanted, lambda: reason(sidecar, token) == wanted, 30)
    return time.monotonic() - begin


def test_a_logout_reaches_every_connected_host_and_a_partitioned_one_stops_deciding(authsvc, hosts, sidecars):
    door = Rest(authsvc)
    took = []
    for _ in range(5):
        token = door.login().tokens
        for s in sidecars:
            until("the host knows tenants and keys", lambda s=s: reason(s, token["access_token"]) == "allow", 30)
        assert door.logout(refresh_token=token["refresh_token"]).reason is None
        took += [seconds_until(s, token["access_token"], "token_revoked") for s in sidecars]
    assert sorted(took)[len(took) // 2] < 1.0 and max(took) < 10, took

    # The cable of the second host is pulled: no reset, no end, only silence.
    stays, gone = door.login().tokens, door.login().tokens
    for s in sidecars:
        for t in (stays, gone):
            allowed(s, t["access_token"])
    hosts[1].pull()
    pulled = time.monotonic()
    assert door.logout(refresh_token=gone["refresh_token"]).reason is None
    assert seconds_until(sidecars[0], gone["access_token"], "token_revoked") < 5
    until("nothing is decided behind the cut", lambda: reason(sidecars[1], stays["access_token"]) == "undecided: feed_stale", 40)
    assert time.monotonic() - pulled > MAX_STALE_S - 6, "until then it decided on what it knew (a heartbeat comes every 5 s)"
    assert reason(sidecars[1], gone["access_token"]) == "undecided: feed_stale"
    assert reason(sidecars[0], stays["access_token"]) == "allow"

    # And put back: what was missed has arrived before anything is decided again.
    hosts[1].plug()
    answers = []
    until("it decides again", lambda: answers.append(reason(sidecars[1], gone["access_token"])) or not answers[-1].startswith("undecided"), 60)
    assert answers[-1] == "token_revoked" and "allow" not in answers
    allowed(sidecars[1], stays["access_token"])


def test_who_has_no_certificate_of_ours_learns_nothing(authsvc, hosts, sidecars, directory, authority, ending):
    (directory / "other-ca").mkdir()
    stranger = ending(remote_sidecar(directory / "s3", hosts[0], authority, certificates=Authority(directory / "other-ca").issue("stranger")))
    # The door's certificate is not for this name.
    ip("addr", "add", "10.77.1.9/24", "dev", "cable1")
    misled = ending(remote_sidecar(directory / "s4", hosts[0], authority, address="10.77.1.9:8444"))
    for s in (stranger, misled):
        s.process.start().until_ready(lambda s=s: accepting(s.socket))
    token = Rest(authsvc).login().tokens["access_token"]
    allowed(sidecars[0], token)
    until("the door has refused", lambda: "tenant-feed-lost" in stranger.process.log())
    time.sleep(2)  # a failed handshake is told nowhere; the others needed less
    assert reason(stranger, token) == reason(misled, token) == "undecided: tenant_unknown"
    # Nor does a host get more than the feeds.
    key = directory / "host1.key"
    r = subprocess.run([*hosts[0].inside, "curl", "-s", "--http2", "--cacert", authority.ca, "--cert", key.with_suffix(".pem"), "--key", key,
                        "-o", "/dev/null", "-w", "%{http_code}", "-X", "POST", "https://10.77.1.1:8444/clinicwave.identity.v1.IdentityService/Login"],
                       capture_output=True, text=True, timeout=30)
    assert r.stdout == "403", r.stderr
