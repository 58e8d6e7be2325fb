"""Network namespaces as hosts, and cables between them that can be pulled. A test file runs its *_inside.py in the first one, as its root."""
import json
import os
import subprocess
import sys

import pytest

from tests.support.programs import source, until

INSIDE = ["unshare", "--user", "--map-root-user", "--net", "--", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


def run_inside(path, seconds=280):
    """The tests of that file, in a network of their own."""
    if subprocess.run([*INSIDE, "true"], capture_output=True).returncode:
        pytest.skip("this machine does not let its users make network namespaces")
    argv = [sys.executable, "-m", "pytest", "-q", "-rfEs", "-p", "no:cacheprovider", "-p", "tests.support.fixtures", str(source(path))]
    r = subprocess.run([*INSIDE, *argv], env={**os.environ, "XML_OUTPUT_FILE": ""}, capture_output=True, text=True, timeout=seconds)
    assert r.returncode == 0, r.stdout[-6000:] + r.stderr[-2000:]
    print(r.stdout)


def ip(*words, where=()):
    subprocess.run([*where, "ip", *map(str, words)], check=True)


class Host:
    """A network namespace and a cable to it, cable NUMBER: 10.77.NUMBER.1 here, 10.77.NUMBER.2 there."""

    def __init__(self, number):
        self.number, self.address = number, f"10.77.{number}.2"
        self.holder = subprocess.Popen(["unshare", "--net", "--", "sleep", "infinity"])
        self.inside = ["nsenter", "--target", str(self.holder.pid), "--net", "--"]
        ours = subprocess.run(["readlink", "/proc/self/ns/net"], capture_output=True, text=True, check=True).stdout
        until("the host is there", lambda: subprocess.run(["readlink", f"/proc/{self.holder.pid}/ns/net"], capture_output=True, text=True).stdout not in ("", ours))
        ip("link", "set", "lo", "up", where=self.inside)
        ip("link", "add", f"cable{number}", "type", "veth", "peer", "name", "eth0", "netns", self.holder.pid)
        give(f"cable{number}", f"10.77.{number}.1")
        give("eth0", self.address, self.inside)

    def connect(self, other, number):
        """A cable to another one: 10.77.NUMBER.1 at this end, 10.77.NUMBER.2 at the other."""
        ip("link", "add", f"cable{number}", "type", "veth", "peer", "name", f"cable{number}", "netns", other.holder.pid, where=self.inside)
        for host, last in ((self, 1), (other, 2)):
            give(f"cable{number}", f"10.77.{number}.{last}", host.inside)

    def pull(self, number=None):
        """The cable is pulled at its far end: what is sent goes nowhere, and nobody says so."""
        ip("link", "set", f"cable{number}" if number else "eth0", "down", where=self.inside)

    def plug(self, number=None):
        ip("link", "set", f"cable{number}" if number else "eth0", "up", where=self.inside)

    def json(self, url):
        """What a server there answers; {} when it does not."""
        r = subprocess.run([*self.inside, "curl", "-s", "-m", "5", "-H", "Accept: application/json", url], capture_output=True, text=True)
        return json.loads(r.stdout) if r.returncode == 0 and r.stdout else {}

    def stop(self):
        self.holder.kill()
        self.holder.wait()


def give(interface, address, where=()):
    ip("addr", "add", f"{address}/24", "dev", interface, where=where)
    ip("link", "set", interface, "up", where=where)
