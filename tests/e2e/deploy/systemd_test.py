"""deploy/systemd: systemd accepts the units, their command lines start our programs, and the directories are there for both."""
import configparser
import os
import shlex
import subprocess

import pytest

from tests.support.programs import program, source

UNITS = {"cw-sidecar.service": "sidecar/cw-sidecar", "cw-authsvc.service": "authsvc/cw-authsvc"}
SMALLEST = {"cw-sidecar.service": "sidecar:\n  run-dir: DIR\n  state-dir: DIR/state\n", "cw-authsvc.service": "authsvc:\n  run-dir: DIR\n  state-dir: DIR/state\n"}


def text_of(unit):
    return source(f"deploy/systemd/{unit}").read_text()


def service(unit):
    """The section [Service]; of a key that comes twice the last one."""
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str
    parser.read_string(text_of(unit))
    return dict(parser["Service"])


def verify(directory, name, text):
    """What systemd has to say about a unit whose program is the one that was built."""
    path = directory / name
    path.write_text(text.replace(f"/usr/bin/{name.partition('.')[0]}", str(program(UNITS[name]).resolve())))
    environment = dict(os.environ, SYSTEMD_UNIT_PATH=f"{directory}:")
    r = subprocess.run(["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True, env=environment)
    return [line for line in (r.stderr + r.stdout).splitlines() if name in line]


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_accepts_the_unit(directory, unit):
    assert verify(directory, unit, text_of(unit)) == []


@pytest.mark.parametrize("wrong", [("ProtectSystem=", "ProtectSytem="), ("UMask=0007", "UMask=9"), ("/usr/bin/cw-sidecar", "/usr/bin/cw-nothing")])
def test_systemd_would_have_said_so(directory, wrong):
    assert verify(directory, "cw-sidecar.service", text_of("cw-sidecar.service").replace(*wrong)) != []


@pytest.mark.parametrize("unit", UNITS)
def test_the_command_line_is_one_that_the_program_takes(directory, unit):
    config = directory / "config.yaml"
    config.write_text(SMALLEST[unit].replace("DIR", str(directory)))
    argv = shlex.split(service(unit)["ExecStart"])
    assert argv[0] == f"/usr/bin/{unit.partition('.')[0]}" and argv[1:2] == ["--config"]
    r = subprocess.run([program(UNITS[unit]), "--config", config, *argv[3:], "--check-config"], capture_output=True, text=True, cwd=directory)
    assert r.returncode == 0, r.stderr


def test_two_users_share_the_directory_of_the_sockets():
    users = {service(u)["User"] for u in UNITS}
    listed = source("deploy/systemd/clinicwave.sysusers.conf").read_text()
    assert len(users) == 2 and all(f"u {u} " in listed and f"m {u} clinicwave" in listed for u in users)
    for unit in UNITS:
        # a RuntimeDirectory gets the owner of whoever starts last
        assert "RuntimeDirectory" not in service(unit) and service(unit)["ReadWritePaths"] == "/run/clinicwave"
        assert service(unit)["Group"] == "clinicwave" and service(unit)["UMask"] == "0007"
    assert "\nd /run/clinicwave 1770 root clinicwave" in source("deploy/systemd/clinicwave.tmpfiles.conf").read_text()
