"""./dev itself: help and usage, ports and their holders, processes that are ours, and how cases are counted."""
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys

import pytest

from tests.support.programs import free_port, source, until

ROOT = source("dev").parent
sys.path.insert(0, str(ROOT / "scripts"))

import cache  # noqa: E402
import house  # noqa: E402
import lint  # noqa: E402
import logs  # noqa: E402
import parts  # noqa: E402
import test as lanes  # noqa: E402

COMMANDS = ["up", "status", "logs", "demo", "down", "test", "bench", "lint", "fmt", "coverage", "compile-commands"]


def dev(*arguments):
    return subprocess.run(["bash", str(ROOT / "dev"), *arguments], capture_output=True, text=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_that_needs_nothing_installed(command):
    r = dev(command, "--help")
    assert r.returncode == 0 and r.stdout.startswith(f"usage: ./dev {command}")


@pytest.mark.parametrize("arguments", [[], ["bogus"]])
def test_a_wrong_command_is_usage(arguments):
    r = dev(*arguments)
    assert r.returncode == 64 and "usage: ./dev" in r.stderr


def test_a_wrong_option_is_usage():
    with pytest.raises(SystemExit) as e:
        house.arguments("usage").parse_args(["--bogus"])
    assert e.value.code == 64


def test_the_holder_of_a_busy_port_is_named():
    port = free_port()
    assert parts.holder(port) is None
    with socket.socket() as s:
        s.bind(("127.0.0.1", port))
        s.listen()
        pid, command = parts.holder(port)
    assert pid == os.getpid() and "python" in command


HIDES = """import ctypes, os, socket, sys
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE, as our programs do
s = socket.socket()
s.bind(("127.0.0.1", int(os.environ["HELD"])))
s.listen()
print("listens", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("words", [["--config=FOLDER/hides.yaml"], ["-host-port", "PORT"]])
def test_a_holder_that_hides_its_files_is_guessed_by_who_is_not_root(tmp_path, words):
    """By its configuration, or by its arguments, as docker-proxy; it is not said to be certain."""
    port = free_port()
    (tmp_path / "hides.yaml").write_text(f"port: {port}\n")
    hides = subprocess.Popen([sys.executable, "-c", HIDES, *(w.replace("PORT", str(port)).replace("FOLDER", str(tmp_path)) for w in words)],
                             env={**os.environ, "HELD": str(port)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert hides.stdout.readline() == "listens\n"
        # root, but without what makes it root: so that this can be seen by root, too
        bare = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"] if os.geteuid() == 0 else []
        asked = f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r}); import parts; print(*parts.holder({port}))"
        r = subprocess.run([*bare, sys.executable, "-c", asked], capture_output=True, text=True, timeout=60)
        assert r.stdout.startswith(f"None a process that hides its files, probably process {hides.pid} (") and "python" in r.stdout, r
    finally:
        hides.communicate("")


def test_holders_that_cannot_be_told_apart_are_all_named(monkeypatch):
    found = [(11, "cw-sidecar --config a"), (12, "cw-authsvc --config b")]
    monkeypatch.setattr(parts, "listening", lambda port: {"socket:[0]": 4711})
    monkeypatch.setattr(parts, "hidden", lambda uids, port: found)
    pid, text = parts.holder(1)
    assert pid is None and "process 11 (cw-sidecar" in text and "process 12 (cw-authsvc" in text
    monkeypatch.setattr(parts, "hidden", lambda uids, port: found * 10)
    assert parts.holder(1) == (None, "a process that only root may look at")
    monkeypatch.setattr(parts, "hidden", lambda uids, port: found[:1])
    assert parts.holder(1) == (None, "a process that hides its files, probably process 11 (cw-sidecar --config a)")


def test_a_busy_port_stops_up_with_port_holder_and_remedy():
    port = free_port()
    part = parts.Part("sidecar", "", ["true"], ["SIDECAR"], [], lambda: True)
    with socket.socket() as s:
        s.bind(("127.0.0.1", port))
        s.listen()
        with pytest.raises(house.Failure) as e:
            part.check_ports({"SIDECAR": port})
    assert str(port) in e.value.what and str(os.getpid()) in e.value.what and "CW_PORT_BASE" in e.value.remedy


@pytest.fixture
def part(tmp_path):
    p = parts.Part("sleeper", "", ["sleep", "60"], [], [], lambda: True)
    p.note, p.log = tmp_path / "sleeper.json", tmp_path / "sleeper.log"
    yield p
    p.stop()


def test_a_part_is_started_found_again_and_ended(part):
    process = part.start()
    assert part.pid == process.pid and part.current() and part.is_ready()
    assert part.stop()
    assert process.poll() is not None and part.pid is None
    assert not part.stop()


def test_a_process_that_got_a_reused_id_is_left_alone(part):
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        part.note.write_text(f'{{"pid": {stranger.pid}, "started": {parts.started_at(stranger.pid) - 1}, "fingerprint": ""}}')
        assert part.pid is None
        assert not part.stop()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_part_that_does_not_end_is_killed(part, tmp_path, capsys):
    trapped = tmp_path / "trapped"
    part.argv = ["bash", "-c", f"trap '' TERM; touch {trapped}; while :; do sleep 0.1; done"]
    process = part.start()
    until("the trap", trapped.exists)
    assert part.stop(seconds=0.5)
    assert process.poll() is not None and part.pid is None  # how it ended is known to whoever waits for it first
    assert "did not end within 0.5 s; it is killed" in capsys.readouterr().out


def test_a_changed_program_is_not_current(part, tmp_path):
    program = tmp_path / "program"
    program.write_text("one")
    part.inputs = [program]
    part.start()
    assert part.current()
    program.write_text("two")
    assert not part.current()


def test_ports_are_moved_by_the_base():
    assert {b - a for a, b in zip(parts.ports(0).values(), parts.ports(1000).values())} == {1000}


@pytest.mark.parametrize("base", [1000, 2000, 3000])
def test_checkouts_whose_bases_differ_by_thousands_share_no_port(base):
    assert not set(parts.ports(0).values()) & set(parts.ports(base).values())


@pytest.mark.parametrize("text, base", [("", 0), ("1000", 1000), ("abc", None), ("-1000", None), ("60000", None), ("1e3", None), (" 7", None)])
def test_a_base_is_a_number_with_room_for_the_ports(monkeypatch, text, base):
    monkeypatch.setenv("CW_PORT_BASE", text)
    if base is None:
        with pytest.raises(house.Failure) as e:
            house.port_base()
        assert "CW_PORT_BASE" in e.value.what
    else:
        assert house.port_base() == base and max(parts.ports(house.PORT_BASE_MAX).values()) < 65536


def test_the_ports_that_are_recommended_are_free(monkeypatch):
    busy = set(parts.ports(1000).values())
    monkeypatch.setattr(parts, "listens", lambda port: port in busy)
    assert parts.free_base() == 2000


def test_dev_may_be_called_by_a_symbolic_link(tmp_path):
    (tmp_path / "dev").symlink_to(ROOT / "dev")
    r = subprocess.run(["bash", str(tmp_path / "dev"), "--help"], capture_output=True, text=True)
    assert r.returncode == 0 and "usage: ./dev" in r.stdout


def test_a_path_with_blanks_is_told_before_anything_is_done(tmp_path):
    shutil.copytree(ROOT / "scripts", tmp_path / "my checkout/scripts")
    shutil.copy(ROOT / "dev", tmp_path / "my checkout/dev")
    r = subprocess.run(["bash", str(tmp_path / "my checkout/dev"), "up"], capture_output=True, text=True)
    assert r.returncode == 1 and "blank" in r.stderr and "what to do: move" in r.stderr
    assert not (tmp_path / "my checkout/.run").exists()


def test_a_home_with_blanks_is_one_word_to_bazel(tmp_path):
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    script = f'. "{tmp_path}/scripts/lib.sh"; write_system_bazelrc; cat "$CW_RUN/system.bazelrc"'
    r = subprocess.run(["bash", "-c", script], env={**os.environ, "CW_CACHE": str(tmp_path / "a cache")}, capture_output=True, text=True)
    words = [shlex.split(line) for line in r.stdout.splitlines() if line.startswith("build")]
    assert f"--disk_cache={tmp_path}/a cache/bazel" in words[0], r.stdout + r.stderr


def test_of_those_that_write_bazels_options_at_once_none_fails(tmp_path):
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    script = f'set -e; . "{tmp_path}/scripts/lib.sh"; CW_RUN="{tmp_path}/run"; for i in 1 2; do write_system_bazelrc; rm -f "$CW_RUN/system.bazelrc"; done; write_system_bazelrc'
    several = [subprocess.Popen(["bash", "-c", script], env={**os.environ, "CW_CACHE": str(tmp_path / "cache")}, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [(p.communicate()[1], p.returncode) for p in several] == [("", 0)] * 4
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["system.bazelrc"]


def test_without_a_folder_for_bazel_nothing_is_written(tmp_path):
    """Where the home's path has a blank and the folder in its place is somebody else's."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    script = f'. "{tmp_path}/scripts/lib.sh"; CW_RUN="{tmp_path}/run"; output_without_blanks() {{ fail "not ours"; }}; write_system_bazelrc; echo went on'
    r = subprocess.run(["bash", "-c", script], env={**os.environ, "HOME": f"{tmp_path}/my home", "CW_CACHE": str(tmp_path / "cache")}, capture_output=True, text=True)
    assert r.returncode == 1 and "not ours" in r.stderr and r.stdout == ""
    assert not (tmp_path / "run/system.bazelrc").exists()


def test_of_two_that_start_and_end_parts_the_second_waits(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(house, "RUN", tmp_path / "run")
    waiting = (f"import pathlib, sys; sys.path.insert(0, {str(ROOT / 'scripts')!r}); import house; house.RUN = pathlib.Path({str(house.RUN)!r})\n"
               "with house.only_one():\n    print('mine', flush=True)")
    with house.only_one():
        second = subprocess.Popen([sys.executable, "-B", "-c", waiting], stdout=subprocess.PIPE, text=True)
        assert "waiting" in second.stdout.readline()
        assert second.poll() is None
    assert second.communicate(timeout=60)[0] == "mine\n" and second.returncode == 0
    assert capsys.readouterr().out == ""


def test_parts_of_another_users_checkout_are_left_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(house, "RUN", tmp_path / "a file" / "run")
    (tmp_path / "a file").touch()  # as little to be written to as a folder of another user is, also by root
    with pytest.raises(house.Failure) as e:
        house.only_one()
    assert "whose checkout it is" in e.value.remedy


@pytest.mark.parametrize("command", ["status", "logs"])
def test_who_only_looks_writes_nothing(tmp_path, command):
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    shutil.copy(ROOT / "dev", tmp_path / "dev")
    (tmp_path / "scripts/install.sh").write_text("#!/bin/sh\n")
    assert subprocess.run(["bash", str(tmp_path / "dev"), command], capture_output=True).returncode == 1
    assert not (tmp_path / ".run").exists()


def test_a_user_without_a_name_can_run_the_gateway(monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 123456)
    assert parts.gateway_user() == ("123456", os.getgid(), 123456, "")


def saying(text, stdout):
    """A command of ./dev that says TEXT, as a process of its own."""
    script = f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r}); import house; house.main(lambda: [house.say({text!r}) for _ in range(9)] and 0)"
    return subprocess.run([sys.executable, "-B", "-c", script], stdout=stdout, stderr=subprocess.PIPE, text=True)


def test_a_reader_that_goes_away_ends_a_command_quietly():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        r = saying("a line", closed)
    assert r.returncode == house.NOBODY_READS and r.stderr == ""


def test_a_full_disk_is_told_in_one_line():
    with open("/dev/full", "w") as full:
        r = saying("a line", full)
    assert r.returncode == house.FAILED and "No space left" in r.stderr and "Traceback" not in r.stderr


@pytest.mark.parametrize("timestamp, shown", [("2026-11-30T18:50:18.125Z", "18:50:18.125"), ("2026-11-30T18:50:18+00:00", "18:50:18.000"),
                                              ("2026-12-01T00:20:18+05:30", "18:50:18.000"), ("", ""), ("nonsense", "")])
def test_logs_show_each_time_in_utc(timestamp, shown):
    assert logs.clock(timestamp) == shown


@pytest.mark.parametrize("arguments, lines", [(["-n", "0"], []), (["-n", "2"], ["b", "c"]), (["-n", "9"], ["a", "b", "c"])])
def test_logs_show_as_many_lines_as_asked(monkeypatch, capsys, tmp_path, arguments, lines):
    monkeypatch.setattr(logs, "RUN", tmp_path)
    (tmp_path / "log").mkdir()
    (tmp_path / "log/sidecar.log").write_text("a\nb\nc\n")
    monkeypatch.setattr(sys, "argv", ["logs", "sidecar", "--json", *arguments])
    assert logs.main() == 0
    assert capsys.readouterr().out.splitlines() == lines


@pytest.mark.parametrize("lines", ["-3", "x", "1.5"])
def test_a_number_of_lines_that_is_none_is_usage(monkeypatch, lines):
    monkeypatch.setattr(sys, "argv", ["logs", "-n", lines])
    with pytest.raises(SystemExit) as e:
        logs.main()
    assert e.value.code == 64


CMOCKA = """[==========] tests: Running 3 test(s).
[ RUN      ] a_good_one
[       OK ] a_good_one
[ RUN      ] a_bad_one
[  ERROR   ] --- 1 != 2
[  FAILED  ] a_bad_one
[ RUN      ] a_skipped_one
[  SKIPPED ] a_skipped_one
[==========] tests: 3 test(s) run.
[  PASSED  ] 1 test(s).
[  FAILED  ] tests: 1 test(s), listed below:
[  FAILED  ] a_bad_one
"""


def test_cases_of_cmocka_are_counted_once_each():
    cases = lanes.cases_of_log("//t", CMOCKA, False)
    assert lanes.totals(cases) == "1 passed, 1 failed, 1 skipped"


def test_a_program_that_dies_is_a_failed_case_however_many_passed():
    cases = lanes.cases_of_log("//t", "[       OK ] a_good_one\n", False)
    assert lanes.totals(cases) == "1 passed, 1 failed, 0 skipped"
    assert lanes.totals(lanes.cases_of_log("//t", "", False)) == "0 passed, 1 failed, 0 skipped"


def test_a_replayed_corpus_counts_its_inputs():
    assert lanes.totals(lanes.cases_of_log("//t", "[==========] 7 test(s) run.\n", True)) == "7 passed, 0 failed, 0 skipped"


def events(tmp_path, *results):
    """A file of Bazel's build events: one test target per (label, text of its log, status)."""
    lines = []
    for i, (label, text, status) in enumerate(results):
        log = tmp_path / f"{i}.log"
        log.write_text(text)
        lines.append({"id": {"testResult": {"label": label}},
                      "testResult": {"status": status, "testActionOutput": [{"name": "test.log", "uri": f"file://{log}"}]}})
        lines.append({"id": {"testSummary": {"label": label}}, "testSummary": {"overallStatus": status}})
    return "".join(json.dumps(line) + "\n" for line in lines)


def run_lane(monkeypatch, capsys, tmp_path, *results, code=3, second=None):
    """`./dev test` of one lane whose Bazel ends with these results, in its second run with others; exit code and all that it says."""
    def bazel(*argv, quiet=False):
        path = next(a.split("=", 1)[1] for a in argv if a.startswith("--build_event_json_file="))
        named = argv[argv.index("--") + 1:]
        wanted = results if "//tests/unit/..." in named else [r for r in (second or results) if r[0] in named]
        with open(path, "w") as f:
            f.write(events(tmp_path, *wanted))
        return code
    monkeypatch.setattr(house, "bazel", bazel)
    monkeypatch.setattr(house, "run", lambda *argv, **kwargs: subprocess.CompletedProcess(argv, 0))
    monkeypatch.setattr(lanes, "LANES", {"unit": lanes.unit, "sanitize": lanes.sanitize})
    monkeypatch.setattr(sys, "argv", ["test", "unit"])
    return lanes.main(), capsys.readouterr().out


ASAN = "==12==ERROR: AddressSanitizer: heap-use-after-free on address 0x60\n    #0 0x55 in pause_watch subscription.c:126\n"


def test_the_log_of_what_failed_is_shown_before_the_totals(monkeypatch, capsys, tmp_path):
    code, out = run_lane(monkeypatch, capsys, tmp_path, ("//t:good", "[       OK ] fine\nquiet please\n", "PASSED"),
                         ("//t:bad", "[ RUN      ] x\n" + ASAN, "FAILED"))
    assert code == 1 and out.endswith("1 passed, 1 failed, 0 skipped\n")
    assert "== log of //t:bad" in out and ASAN in out
    assert out.index(ASAN) < out.index("== all lanes")
    assert "quiet please" not in out


def test_nothing_failed_shows_no_log(monkeypatch, capsys, tmp_path):
    code, out = run_lane(monkeypatch, capsys, tmp_path, ("//t:good", "[       OK ] fine\nquiet please\n", "PASSED"), code=0)
    assert code == 0 and "log of" not in out and "quiet please" not in out


def test_of_several_runs_the_failed_one_is_shown(monkeypatch, capsys, tmp_path):
    _, out = run_lane(monkeypatch, capsys, tmp_path, ("//t:x", "the good run\n", "PASSED"), ("//t:x", "the bad run\n", "FAILED"))
    assert "the bad run" in out and "the good run" not in out


BAD = "[  FAILED  ] x\nwhy it failed\n"


def test_what_passes_alone_in_a_second_run_is_named_as_flaky(monkeypatch, capsys, tmp_path):
    code, out = run_lane(monkeypatch, capsys, tmp_path, ("//t:good", "[       OK ] fine\n", "PASSED"), ("//t:bad", BAD, "FAILED"),
                         second=[("//t:bad", "[       OK ] x\n", "PASSED")])
    assert code == 0 and out.endswith("2 passed, 0 failed, 0 skipped\n")
    assert "FLAKY //t:bad x" in out and "why it failed" in out and "  flaky: //t:bad x" in out[out.index("== all lanes"):]


@pytest.mark.parametrize("results, second", [
    ([("//t:bad", BAD, "FAILED")], [("//t:bad", BAD, "FAILED")]),
    ([("//t:bad", BAD, "FAILED")], [("//t:other", BAD, "PASSED")]),
    ([("//t:bad", BAD + ASAN, "FAILED")], [("//t:bad", "", "PASSED")]),
    ([(f"//t:{n}", BAD, "FAILED") for n in "abcd"], [(f"//t:{n}", "", "PASSED") for n in "abcd"])],
    ids=["twice", "not run again", "a sanitizer's report", "many"])
def test_what_is_no_flicker_stays_failed(monkeypatch, capsys, tmp_path, results, second):
    code, out = run_lane(monkeypatch, capsys, tmp_path, *results, second=second)
    assert code == 1 and out.endswith(f"0 passed, {len(results)} failed, 0 skipped\n") and "flaky" not in out


def test_a_long_log_is_cut_to_its_end_and_the_sanitizers_report():
    text = "begin\n" + ASAN + "".join(f"line {i}\n" for i in range(1000))
    shown = lanes.excerpt(text)
    assert "AddressSanitizer" in shown and "pause_watch" in shown and "line 999" in shown
    assert "begin" not in shown and "line 500" not in shown and len(shown.splitlines()) <= lanes.LOG_LINES + lanes.REPORT_LINES + 1
    assert lanes.excerpt("a\nb\n") == "a\nb"
    assert "left out" in lanes.excerpt("x\n" * 500)


def test_every_case_of_lint_and_fuzz_carries_its_log(monkeypatch):
    monkeypatch.setattr(lint, "check_all", lambda: [("format", ["a.c", "b.c"]), ("marks", [])])
    bad, good = lanes.lint_lane()
    assert bad.result == "failed" and bad.log == "a.c\nb.c" and good.result == "passed" and not good.log


@pytest.fixture
def cached(tmp_path):
    """`cached(name, size, age)` is a file of the disk cache that was last used AGE seconds ago."""
    def make(name, size, age):
        path = tmp_path / "bazel" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
        os.utime(path, (NOW - age, NOW - age))
        return path
    return make


NOW, DAY = 1_800_000_000, 86400


def test_the_cache_forgets_what_was_not_used_for_longest(cached, tmp_path, monkeypatch, capsys):
    old, middle, new = cached("cas/aa/old", 600, 9 * DAY), cached("ac/bb/middle", 300, 2 * DAY), cached("cas/cc/new", 700, DAY)
    monkeypatch.setenv("CW_CACHE_MOST", "1K")
    cache.prune(tmp_path, NOW)
    assert not old.exists() and not middle.exists() and new.exists()
    assert "removed" in capsys.readouterr().out


def test_a_cache_within_its_bound_is_left_alone(cached, tmp_path, monkeypatch, capsys):
    files = [cached(f"cas/{i}", 100, 400 * DAY) for i in range(10)]
    monkeypatch.setenv("CW_CACHE_MOST", "1000")
    cache.prune(tmp_path, NOW)
    assert all(f.exists() for f in files) and not capsys.readouterr().out


def test_what_a_running_build_may_read_is_kept(cached, tmp_path, monkeypatch):
    files = [cached(f"cas/{i}", 1000, 60) for i in range(5)]
    monkeypatch.setenv("CW_CACHE_MOST", "1K")
    cache.prune(tmp_path, NOW)
    assert all(f.exists() for f in files)


def test_a_set_of_others_programs_goes_when_nobody_used_it_for_a_month(tmp_path):
    for name, age in (("npm-0123", 40 * DAY), ("npm-4567", DAY)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "complete").touch()
        os.utime(tmp_path / name / "complete", (NOW - age, NOW - age))
    cache.prune(tmp_path, NOW)
    assert [p.name for p in tmp_path.iterdir()] == ["npm-4567"]


def test_a_bound_that_is_no_size_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("CW_CACHE_MOST", "lots")
    with pytest.raises(house.Failure) as e:
        cache.prune(tmp_path, NOW)
    assert "CW_CACHE_MOST" in e.value.what


def test_a_python_module_without_a_package_in_the_list_is_a_problem():
    text = "import os, websockets.client\nfrom google.protobuf import x\nfrom . import y\nfrom tests.support import z\nimport lint\n"
    assert list(lint.without_package("a.py", text, {"python3-websockets", "python3-protobuf"})) == []
    assert list(lint.without_package("a.py", text, {"python3-protobuf"})) == [
        "a.py: imports websockets, and python3-websockets is not in scripts/packages.txt"]


def test_comments_and_strings_are_no_code():
    assert "strcpy" not in lint.code_only('/* strcpy(a, b) */ "strcpy(" // strcpy(')
    assert "strcpy" in lint.code_only("strcpy(a, b);")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """`repository({"PATH": "TEXT"})`: what lint finds when the repository is just that."""
    monkeypatch.setattr(lint, "ROOT", tmp_path)

    def fill(files):
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        monkeypatch.setattr(house, "tracked", lambda *patterns: sorted(files))
    return fill


INCLUDES = {  # path: (a line that breaks the rule, one that does not)
    "sidecar/a.c": ["<grpc/grpc.h>", "<nghttp2/nghttp2.h>", "<jwt.h>", "<curl/curl.h>", "<microhttpd.h>", "<sodium.h>", "<sqlite3.h>", "<libpq-fe.h>",
                    "<yaml.h>", "<idn2.h>", "<cmocka.h>", "<ngx_core.h>", '"tests/x.h"', '"authsvc/x.h"', '"cwctl/x.h"', '"edge-gateway/x.h"', '"examples/x.h"',
                    '"../common/base/str.h"'],
    "authsvc/rpc/a.c": ["<sqlite3.h>", "<jwt.h>", '"sidecar/x.h"'],
    "common/jose/a.c": ["<sys/socket.h>", '"common/rpc/server.h"', "<time.h>", '"common/base/clock.h"'],
    "sidecar/policy/a.c": ["<netinet/in.h>", '"common/http/client.h"'],
    "common/base/a.c": ["<poll.h>", '"common/log/log.h"'],
}


@pytest.mark.parametrize("path, name", [(path, name) for path, names in INCLUDES.items() for name in names])
def test_an_include_across_the_layers_is_a_problem(repository, path, name):
    repository({path: f"#include <stdio.h>\n#include {name}\n"})
    [problem] = lint.check_includes()
    assert problem.startswith(f"{path}:2: {name}")


def test_an_include_within_its_layer_is_none(repository):
    repository({"common/rpc/a.c": "#include <grpc/grpc.h>\n", "edge-gateway/a.c": "#include <nghttp2/nghttp2.h>\n#include <ngx_core.h>\n",
                "authsvc/token/a.c": "#include <jwt.h>\n", "authsvc/store/a.c": "#include <libpq-fe.h>\n", "common/base/a.c": "#include <idn2.h>\n",
                "sidecar/main/a.c": '#include "sidecar/tenants/tenants.h"\n#include "common/rpc/server.h"\n'})
    assert lint.check_includes() == []


@pytest.mark.parametrize("line", [*(f"{name}(x);" for name in lint.FORBIDDEN), "exit(1);", "x = CW_HTTP_PLAIN_PRIVATE;"])
def test_a_function_that_is_not_used_here_is_a_problem(repository, line):
    repository({"sidecar/a.c": f"void f(void)\n{{\n    {line}\n}}\n"})
    [problem] = lint.check_functions()
    assert problem.startswith("sidecar/a.c:3: ")
    repository({"sidecar/main/main.c": "/* strcpy(x) */ exit(1); mystrcpy(x); s.rand(x); \"sprintf(\";\n"})
    assert lint.check_functions() == []


def test_what_the_interop_lane_needs_and_cannot_have_fails_it():
    part = source("scripts/deps.sh").read_text().rpartition('if [ "${1:-}" = interop ]; then')[2]
    assert part.count("cached ") > 5 and "get_keycloak" in part and "||" not in part


@pytest.mark.parametrize("line", ['pytestmark = pytest.mark.skipif(True, reason="")', 'pytest.skip("")', 'pytest.importorskip("x")'])
def test_a_test_beside_the_servers_of_others_that_skips_is_a_problem(repository, line):
    repository({"tests/interop/x_test.py": f"import pytest\n{line}\n"})
    [problem] = lint.skips("tests/interop/*.py")
    assert problem.startswith("tests/interop/x_test.py:2: ")


def messages(text):
    """A file of messages: "A: B C; B: A" has A with fields of the types B and C."""
    from google.protobuf import descriptor_pb2
    file = descriptor_pb2.FileDescriptorProto(package="p.v1")
    for part in text.split("; "):
        name, _, types = part.partition(": ")
        scope = file.message_type.add(name=name.partition(".")[0])
        message = scope.nested_type.add(name=name.partition(".")[2]) if "." in name else scope
        for type_name in types.split():
            message.field.add(name="f", type_name=f".p.v1.{type_name}")
    return [file]


@pytest.mark.parametrize("text, names", [("A: B; B: C; C:", []), ("A: A", ["p.v1.A"]), ("A: B; B: C; C: A; D: A", ["p.v1.A", "p.v1.B", "p.v1.C"]),
                                         ("A.N: A.N", ["p.v1.A.N"]), ("A: B B; B:", [])])
def test_a_message_that_leads_to_itself_is_told(text, names):
    assert list(lint.recursive(messages(text))) == names
