"""Command lines and configuration files of every program: each mistake is told with its place, before anything runs."""
import re
import subprocess

import pytest

from tests.support.programs import program

PROGRAMS = {"cw-sidecar": "sidecar/cw-sidecar", "cw-authsvc": "authsvc/cw-authsvc", "storage-service": "examples/storage-service/storage-service"}
SECTION = {"cw-sidecar": "sidecar", "cw-authsvc": "authsvc", "storage-service": "storage"}


@pytest.fixture(params=PROGRAMS)
def name(request):
    return request.param


def run(name, *arguments, **environment):
    return subprocess.run([program(PROGRAMS[name]), *map(str, arguments)], capture_output=True, text=True, timeout=30,
                          env={"PATH": "/usr/bin:/bin", **environment})


def check(name, directory, text, *arguments, **environment):
    path = directory / "given.yaml"
    path.write_text(text)
    return run(name, "--config", path, "--check-config", *arguments, **environment)


def test_help_and_reference_name_the_same_keys(name):
    described = re.findall(r"^  ([a-z][^=\s]*)=", run(name, "--help").stdout, re.M)
    listed = re.findall(r"^\| `([^`]+)` \|", run(name, "--config-reference").stdout, re.M)
    assert described == listed and len(listed) > 5
    assert run(name, "--version").stdout.startswith(name + " ")


def test_no_default_depends_on_where_a_program_is_started(name):
    """An installed one follows the FHS: cw-authsvc in another directory had another database, and made it without a word."""
    rows = re.findall(r"^\| `([^`]+)` \| (?:path|secret file) \| `([^`]*)` \|", run(name, "--config-reference").stdout, re.M)
    assert dict(rows).get(f"{SECTION[name]}.state-dir", "/var/lib/clinicwave/x").startswith("/var/lib/clinicwave/")
    assert dict(rows).get(f"{SECTION[name]}.run-dir", "/run/clinicwave") == "/run/clinicwave"
    assert rows and not [key for key, default in rows if default and not default.startswith("/")]


@pytest.mark.parametrize("arguments", [["--config"], ["--nonsense"], ["word"], ["-x"]])
def test_a_wrong_command_line_is_usage(name, arguments):
    result = run(name, *arguments)
    assert (result.returncode, result.stdout) == (64, "") and result.stderr


@pytest.mark.parametrize("text,place,words", [
    ("{s}:\n  nonsense: 1\n", "2: {s}.nonsense", "unknown key"),
    ("{s}:\n  management:\n    prot: 1\n", "3: {s}.management.prot", "did you mean {s}.management.port?"),
    ("{s}:\n  management:\n    port: many\n", "3: {s}.management.port", '"many" is not a whole number'),
    ("{s}:\n  management:\n    port: 65536\n", "3: {s}.management.port", "is out of bounds"),
    ("{s}:\n  management: 5\n", "2: {s}.management", "is a section, not a value"),
    ("{s}: {{}}\n{s}: {{}}\n", "2: {s}", "key comes twice"),
    ("{s}: &a {{}}\n", "1: {s}", "anchors and tags are not allowed"),
    ("other: *a\n", "1: ", ""),
    ("{s}:\n  - : [\n", "", ""),
])
def test_a_mistake_in_the_file_is_told_with_line_and_key(name, directory, text, place, words):
    section = SECTION[name]
    result = check(name, directory, text.format(s=section))
    assert result.returncode == 1
    assert f"given.yaml:{place.format(s=section)}" in result.stderr and words.format(s=section) in result.stderr, result.stderr
    # and it does not start with it either
    started = run(name, "--config", directory / "given.yaml")
    assert started.returncode == 2 and started.stderr == result.stderr


def test_a_mistake_elsewhere_names_its_source(name, directory):
    section = SECTION[name]
    variable = f"CW_{section.upper()}_NONSENSE"
    assert f"environment {variable}: stands for no key" in check(name, directory, "", **{variable: "1"}).stderr
    assert f"environment CW_{section.upper()}_MANAGEMENT_PORT: {section}.management.port" in check(
        name, directory, "", **{f"CW_{section.upper()}_MANAGEMENT_PORT": "x"}).stderr
    assert f"command line: {section}.management.port" in check(name, directory, "", f"--{section}.management.port=x").stderr
    missing = run(name, "--config", directory / "missing.yaml", "--check-config")
    assert missing.returncode == 1 and "missing.yaml: cannot be read" in missing.stderr


def test_all_mistakes_are_told_at_once(name, directory):
    section = SECTION[name]
    text = f"{section}:\n  nonsense: 1\n  management:\n    port: x\n    address: 1\n    more: 2\n"
    lines = [int(n) for n in re.findall(r"given\.yaml:(\d+): ", check(name, directory, text).stderr)]
    assert {2, 4, 6} <= set(lines)


@pytest.mark.parametrize("lines,key,words", [
    ("address: authsvc.internal:8444", "sidecar.authsvc.ca-file", "authsvc on another host needs this file"),
    ("address: authsvc.internal:8444", "sidecar.authsvc.key-file", "authsvc on another host needs this file"),
    ("{{address: authsvc.internal, {files}}}", "sidecar.authsvc.address", "expected NAME:PORT"),
    ("{{address: 'a:1', socket: /run/a.sock, {files}}}", "sidecar.authsvc.address", "which one?"),
    ("{{address: 'a:1', {files}}}", None, None),
])
def test_authsvc_on_another_host_is_asked_with_certificates_only(directory, lines, key, words):
    pem = directory / "x.pem"
    pem.write_text("x")
    files = f"ca-file: {pem}, certificate-file: {pem}, key-file: {pem}"
    inside = lines.format(files=files) if "{{" in lines else f"{{{lines}}}"
    result = check("cw-sidecar", directory, f"sidecar:\n  authsvc: {inside}\n")
    if key is None:
        assert result.returncode == 0, result.stderr
    else:
        assert result.returncode == 1 and key in result.stderr and words in result.stderr, result.stderr
