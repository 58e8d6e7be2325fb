"""Who listens on the sidecar's socket: its owner is root, the gateway's own user, or one that the configuration names."""
import os
import signal
import socket

import pytest

from tests.support.fixtures import only_root
from tests.support.programs import until

pytestmark = only_root

ROUTES = "location / { cw_auth required; cw_timeout 300ms; proxy_pass http://@SERVICE@; }"
STRANGER = 65534


@pytest.fixture
def stranger(directory):
    """A socket that another user put into the sidecar's place; what the first bytes of each connection were is in `heard` beside it."""
    path = directory / "gateway.sock"
    directory.chmod(0o777)
    pid = os.fork()
    if pid == 0:
        os.setuid(STRANGER)
        s = socket.socket(socket.AF_UNIX)
        s.bind(str(path))
        os.chmod(path, 0o777)
        s.listen(16)
        while True:
            with s.accept()[0] as c:
                (directory / "heard").write_bytes(c.recv(14) or b"nothing")
    until("the socket is there", path.exists)
    yield path
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_a_socket_of_another_user_is_not_believed(nginx, stranger, service):
    g = nginx(ROUTES)
    r = g.get("/x", "good")
    assert (r.status, r.reason) == (503, "validator_unavailable")
    assert f"belongs to user {STRANGER}, who is not trusted" in g.process.log()
    assert not service.requests
    until("it is heard that nothing is said", lambda: (stranger.parent / "heard").read_bytes() == b"nothing")


def test_a_user_that_the_configuration_names_is(nginx, stranger):
    g = nginx(ROUTES, sidecar=f"{stranger} user=nobody")
    g.get("/x", "good")
    until("HTTP/2 is spoken to it", lambda: (stranger.parent / "heard").read_bytes() == b"PRI * HTTP/2.0")
    assert "not trusted" not in g.process.log()
