"""Programs that hold keys, tokens or passwords leave no core dump and are not looked into by others of their user."""
import contextlib
import os
import pathlib
import subprocess

import pytest

from tests.e2e.authsvc.doors import document
from tests.support.programs import program, until
from tests.support.stack import Authsvc, Sidecar


def limit(pid):
    """Soft and hard limit of a core file's size."""
    line = next(s for s in pathlib.Path(f"/proc/{pid}/limits").read_text().splitlines() if s.startswith("Max core file size"))
    return line.split()[4:6]


# root may look at everything: here its programs and the one who looks have no more rights than another user's.
PLAIN = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []


def looked_into(pid):
    """May another process of the same user, with the same rights, read the memory of PID?"""
    r = subprocess.run([*PLAIN, "cat", f"/proc/{pid}/environ"], capture_output=True, text=True, timeout=60)
    assert r.returncode == 0 or "Permission denied" in r.stderr, r.stderr
    return r.returncode == 0


@contextlib.contextmanager
def running(*argv):
    with subprocess.Popen([*PLAIN, *map(str, argv)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def concealed(pid):
    return limit(pid) == ["0", "0"] and not looked_into(pid)


def test_other_programs_are_looked_into():
    with running("sleep", "1000") as process:
        until("it is there", lambda: looked_into(process.pid))


def test_authsvc(directory, ending):
    service = Authsvc(directory, document())
    service.process.argv[:0] = PLAIN
    ending(service).start()
    assert concealed(service.process.pid)


def test_sidecar(directory, ending):
    tenant = {"name": "clinicwave", "domains": ["clinicwave.com"], "audiences": ["a"], "issuers": [{"issuer": "https://127.0.0.1:9/"}]}
    sidecar = Sidecar(directory, [tenant])
    sidecar.process.argv[:0] = PLAIN
    ending(sidecar).start()
    assert concealed(sidecar.process.pid)


@pytest.mark.parametrize("argv", [["authsvc/cw-authsvc", "user", "add", "--tenant", "clinicwave", "--username", "anna"],
                                  ["cwctl/cwctl", "token", "verify", "-"]], ids=lambda argv: argv[0])
def test_a_command_that_waits_for_a_secret(directory, argv):
    config = ["--config", Authsvc(directory, document()).config] if "user" in argv else []
    with running(program(argv[0]), *argv[1:], *config) as process:
        until("it waits, concealed", lambda: process.poll() is None and concealed(process.pid))
