"""./dev up, status, logs and down themselves, on a checkout of the test's own: only Bazel and the downloads are left out, since the lane has done
both. (scripts/fresh.sh does the same on a bare Debian, with both.)"""
import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys

import pytest

from tests.support.programs import listening, program, source, until
from tests.support.provider import DEPS

PARTS = ["idp", "sidecar", "authsvc", "storage-service", "gateway"]
PROGRAMS = ["sidecar/cw-sidecar", "authsvc/cw-authsvc", "cwctl/cwctl", "examples/storage-service/storage-service", "edge-gateway/ngx_http_cw_module.so"]
FIRST_PORT, LAST_PORT = 8080, 9086


def free_base():
    """Below the ports that tests and connections get by chance: see free_port."""
    while True:
        base = random.randrange(21000 - FIRST_PORT, 24000 - LAST_PORT, 10)
        if not any(listening(base + port) for port in (8080, 8443, 8444, 8761, 9081, 9082, 9083, 9084, 9085, 9086)):
            return base


class Checkout:
    """The scripts with the demo's configuration; Bazel says yes, and what it would have built is there."""

    def __init__(self, directory):
        self.root, self.run = directory / "checkout", directory / "checkout/.run"
        shutil.copytree(source("scripts/up.py").parent, self.root / "scripts")
        shutil.copytree(source("deploy/demo/nginx.conf").parent, self.root / "deploy/demo")
        for path in PROGRAMS:
            link = self.root / ".bazel/bin" / path
            link.parent.mkdir(parents=True)
            link.symlink_to(program(path).resolve())
        self.run.mkdir()
        (self.run / "deps").symlink_to(DEPS)
        for command in ("scripts/deps.sh", "bin/bazel"):
            path = self.root / command
            path.parent.mkdir(exist_ok=True)
            path.unlink(missing_ok=True)
            path.write_text("#!/bin/sh\nexit 0\n")
            path.chmod(0o755)
        self.environment = dict(os.environ, CW_PORT_BASE=str(free_base()), CW_CACHE=str(directory / "cache"),
                                PATH=f"{self.root}/bin:{os.environ['PATH']}")

    def dev(self, command, *arguments):
        return subprocess.run([sys.executable, "-B", self.root / f"scripts/{command}.py", *arguments], env=self.environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=240)

    def up(self, *arguments):
        done = self.dev("up", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def status(self):
        """(exit code, what it says of each part)."""
        done = self.dev("status")
        return done.returncode, dict(re.findall(r"^  (\S+) +(ready|runs, not ready|does not run)\b", done.stdout, re.M))

    def processes(self):
        """Those of this checkout, by what they were started with (our own programs hide their folder), or the folder that they were started in
        (nginx's workers have another title)."""
        def is_ours(process):
            with contextlib.suppress(OSError):
                if f"{self.root}/".encode() in (process / "cmdline").read_bytes():
                    return True
            with contextlib.suppress(OSError):
                return os.readlink(process / "cwd") == str(self.root)
        return [int(p.name) for p in pathlib.Path("/proc").glob("[0-9]*") if is_ours(p)]

    def pids(self):
        return {name: json.loads((self.run / f"parts/{name}.json").read_text())["pid"] for name in PARTS}

    def stop(self):
        self.dev("down")
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def checkout(directory, ending):
    return ending(Checkout(directory))


def test_up_status_logs_and_down(checkout):
    assert checkout.status() == (1, {name: "does not run" for name in PARTS})
    assert checkout.dev("logs").returncode == 1
    assert re.findall(r"^  (\S+): ready after", checkout.up(), re.M) == PARTS
    assert checkout.status() == (0, {name: "ready" for name in PARTS})
    assert set(checkout.processes()) > set(checkout.pids().values())  # nginx has workers

    before = checkout.pids()
    again = checkout.up()
    assert re.findall(r"^  (\S+): unchanged, runs as process", again, re.M) == PARTS and "ready after" not in again
    assert checkout.pids() == before

    def health():  # one of the commands that `up` says to try
        return subprocess.run([checkout.run / "bin/cwctl", "health"], capture_output=True, text=True)
    until("all is well", lambda: health().returncode == 0 and health().stdout.startswith("UP\n"))

    with open(checkout.root / "deploy/demo/storage-service.yaml", "a") as f:
        f.write("# changed\n")
    changed = checkout.up()
    assert re.findall(r"^  (\S+): ready after", changed, re.M) == ["storage-service"]
    after = checkout.pids()
    assert [name for name in PARTS if after[name] != before[name]] == ["storage-service"]

    os.kill(after["storage-service"], signal.SIGKILL)
    until("status tells", lambda: checkout.status() == (1, {**{name: "ready" for name in PARTS}, "storage-service": "does not run"}))

    assert checkout.dev("logs", "sidecar", "-n", "1").stdout.count("\n") == 1
    everything = checkout.dev("logs", "-n", "1000")
    assert everything.returncode == 0 and all(f" {name} " in everything.stdout for name in PARTS if name != "idp")
    assert all(json.loads(line) for line in checkout.dev("logs", "authsvc", "--json").stdout.splitlines())
    assert checkout.dev("logs", "nobody").returncode == 64

    down = checkout.dev("down")
    assert down.returncode == 0 and down.stdout == "ended: gateway, authsvc, sidecar, idp\n"
    assert checkout.processes() == []
    assert checkout.status() == (1, {name: "does not run" for name in PARTS})
    assert checkout.dev("down").stdout == "nothing ran\n"


def test_the_demo_runs_through_the_real_eureka_server(checkout):
    assert re.findall(r"^  (\S+): ready after", checkout.up("--with", "eureka"), re.M) == ["eureka", *PARTS]
    assert checkout.status() == (0, {name: "ready" for name in ["eureka", *PARTS]})
    demo = checkout.dev("demo")
    assert demo.returncode == 0 and "every answer was as it should be" in demo.stdout and "✗" not in demo.stdout, demo.stdout + demo.stderr
    step = demo.stdout[demo.stdout.index("the registry of the real Eureka server"):demo.stdout.index("── 2  ")]
    assert " is UP, health at http://localhost:" in step, step
    health = subprocess.run([program("cwctl/cwctl"), "health", "--json"], env=dict(checkout.environment, CW_RUN_DIR=str(checkout.run)),
                            capture_output=True, text=True, timeout=60)
    [eureka] = [c for c in json.loads(health.stdout)["components"] if c["name"] == "registry:eureka"]
    assert f"from http://127.0.0.1:{8761 + int(checkout.environment['CW_PORT_BASE'])}" in eureka["detail"], eureka

    # without the word it is taken away, and the sidecar is the registry again
    plain = checkout.up()
    assert re.findall(r"^  (\S+): no longer wanted, ended", plain, re.M) == ["eureka"] and "sidecar: changed, ended" in plain
    assert checkout.status() == (0, {name: "ready" for name in PARTS})
    assert checkout.dev("demo").returncode == 0
    assert checkout.dev("down").returncode == 0 and checkout.processes() == []
