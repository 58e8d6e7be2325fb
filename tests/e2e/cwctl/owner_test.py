"""cwctl asks only sockets of root, of its own user, of the packaged programs' users and of whom CW_SOCKET_OWNERS names."""
import os
import shutil
import subprocess

from tests.e2e.cwctl.online_test import cwctl  # noqa: F401 (a fixture)
from tests.support.fixtures import only_root
from tests.support.programs import program


@only_root
def test_a_socket_of_another_user_is_not_asked_unless_named(cwctl, sidecar, directory):  # noqa: F811
    os.chown(directory / "admin.sock", 65534, -1)
    refused = cwctl("cache", "stats")
    assert refused.returncode == 2 and "belongs to user 65534" in refused.stderr and "CW_SOCKET_OWNERS" in refused.stderr
    assert cwctl("cache", "stats", environment={"CW_SOCKET_OWNERS": "no-such-user,daemon"}).returncode == 2
    for named in ("65534", "daemon,nobody"):
        assert cwctl("cache", "stats", environment={"CW_SOCKET_OWNERS": named}).returncode == 0


@only_root
def test_who_may_not_ask_is_not_told_to_start_what_runs(sidecar, directory):
    directory.chmod(0o755)
    copy = shutil.copy(program("cwctl/cwctl"), directory / "cwctl")
    done = subprocess.run([copy, "health"], capture_output=True, text=True, timeout=30, user=65534, group=65534, extra_groups=[],
                          env=dict(os.environ, CW_RUN_DIR=str(directory)))
    assert done.returncode == 2 and "this user may not ask" in done.stdout and "ask as root" in done.stdout and "start cw-sidecar" not in done.stdout


@only_root
def test_who_may_judge_tokens_only_is_told_what_to_say(sidecar, directory, issuer):
    directory.chmod(0o755)
    copy = shutil.copy(program("cwctl/cwctl"), directory / "cwctl")

    def stranger(*words):
        return subprocess.run([copy, *words], capture_output=True, text=True, timeout=30, user=65534, group=65534, extra_groups=[],
                              env=dict(os.environ, CW_RUN_DIR=str(directory)))

    good = issuer.token()
    (directory / "sidecar.sock").chmod(0o666)
    for mode in (0o660, 0o666):  # the file's, and then the table's refusal
        (directory / "admin.sock").chmod(mode)
        refused = stranger("token", "verify", good)
        assert refused.returncode == 2 and "say --tenant DOMAIN" in refused.stderr
        health = stranger("health")
        assert "this user may not ask" in health.stdout and "start cw-sidecar" not in health.stdout
    assert stranger("token", "verify", "--tenant", "clinicwave.com", good).returncode == 0
