"""Revocations between hosts. Network namespaces are the hosts; hosts_inside.py runs in the first one, as its root."""
from tests.support.hosts import run_inside


def test_revocations_between_hosts():
    run_inside("tests/e2e/authsvc/hosts_inside.py")
