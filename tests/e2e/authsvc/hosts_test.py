"""Revocations between hosts. Network namespaces are the hosts; hosts_inside.py runs in the first one, as its root."""
import os
import subprocess
import sys

import pytest

from tests.support.programs import source

INSIDE = ["unshare", "--user", "--map-root-user", "--net", "--", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


def test_revocations_between_hosts():
    if subprocess.run([*INSIDE, "true"], capture_output=True).returncode:
        pytest.skip("this machine does not let its users make network namespaces")
    argv = [sys.executable, "-m", "pytest", "-q", "-rfEs", "-p", "no:cacheprovider", "-p", "tests.support.fixtures", str(source("tests/e2e/authsvc/hosts_inside.py"))]
    r = subprocess.run([*INSIDE, *argv], env={**os.environ, "XML_OUTPUT_FILE": ""}, capture_output=True, text=True, timeout=280)
    assert r.returncode == 0, r.stdout[-6000:] + r.stderr[-2000:]
    print(r.stdout)
