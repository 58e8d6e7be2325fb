"""cwctl asks only sockets of root, of its own user, of the packaged programs' users and of whom CW_SOCKET_OWNERS names."""
import os

from tests.e2e.cwctl.online_test import cwctl  # noqa: F401 (a fixture)
from tests.support.fixtures import only_root


@only_root
def test_a_socket_of_another_user_is_not_asked_unless_named(cwctl, sidecar, directory):  # noqa: F811
    os.chown(directory / "admin.sock", 65534, -1)
    refused = cwctl("cache", "stats")
    assert refused.returncode == 2 and "belongs to user 65534" in refused.stderr and "CW_SOCKET_OWNERS" in refused.stderr
    assert cwctl("cache", "stats", environment={"CW_SOCKET_OWNERS": "no-such-user,daemon"}).returncode == 2
    for named in ("65534", "daemon,nobody"):
        assert cwctl("cache", "stats", environment={"CW_SOCKET_OWNERS": named}).returncode == 0
