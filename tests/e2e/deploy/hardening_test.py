"""What the compiler and the linker were told is in the programs: docs/SECURITY.md, Hardening."""
import re
import subprocess

import pytest

from tests.support.programs import program

PROGRAMS = ["sidecar/cw-sidecar", "authsvc/cw-authsvc", "cwctl/cwctl", "examples/storage-service/storage-service"]
MODULE = "edge-gateway/ngx_http_cw_module.so"


def readelf(path):
    return subprocess.run(["readelf", "-W", "-h", "-l", "-d", "--dyn-syms", program(path)], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("path", [*PROGRAMS, MODULE])
def test_it_is_hardened(path):
    text = readelf(path)
    flags = set(re.search(r"\(FLAGS_1\) +Flags: (.*)", text)[1].split())
    assert re.search(r"^ +Type: +DYN ", text, re.M)  # at any address
    assert flags == ({"NOW"} if path == MODULE else {"NOW", "PIE"})
    assert re.search(r"\(FLAGS\) +BIND_NOW$", text, re.M) and re.search(r"^ +GNU_RELRO ", text, re.M)
    assert re.search(r"^ +GNU_STACK +(0x\w+ +){5}RW ", text, re.M)
    assert not re.search(r"\((RPATH|RUNPATH|TEXTREL)\)", text)
    assert "__stack_chk_fail" in text
