"""./dev compile-commands and ./dev coverage: what they make of Bazel's answers. The real ones run in the fresh lane (scripts/fresh.sh)."""
import json
import pathlib
import sys

import pytest

from tests.support.programs import source

sys.path.insert(0, str(source("dev").parent / "scripts"))

import compile_commands  # noqa: E402
import coverage  # noqa: E402
import house  # noqa: E402

GCC = ["/usr/bin/gcc", "-fno-canonical-system-headers", "-iquote", ".", "-isystem", "external/crypto/include", "-c"]


@pytest.fixture(autouse=True)
def checkout(tmp_path, monkeypatch):
    for module in (compile_commands, coverage):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(coverage, "RUN", tmp_path / ".run")
    monkeypatch.setattr(sys, "argv", ["dev"])
    return tmp_path


def test_compile_commands_of_bazels_actions(checkout, monkeypatch):
    actions = [{"arguments": [*GCC, "common/base/str.c", "-o", "str.o"]}, {"arguments": [*GCC, "common/base/str.c", "-o", "str.pic.o"]},
               {"arguments": [*GCC, "authsvc/main/main.c", "-o", "bazel-out/host/bin/main.o"]}, {"arguments": ["/usr/bin/ar", "x.a"]}]
    built = []
    monkeypatch.setattr(house, "build", lambda targets, *flags: built.append((targets, *flags)))
    monkeypatch.setattr(house, "output_of", lambda *command: "/base\n" if command[1] == "info" else json.dumps({"actions": actions}))
    assert compile_commands.main() == 0
    assert built == [(["//..."], "--output_groups=compilation_prerequisites_INTERNAL_")]  # what is generated is there, too
    entry, = json.loads((checkout / "compile_commands.json").read_text())  # one a file, none of the build's own tools
    assert (entry["directory"], entry["file"]) == (str(checkout), "common/base/str.c")
    assert entry["arguments"][:6] == ["/usr/bin/gcc", "-iquote", ".", "-isystem", "/base/external/crypto/include", "-c"]


def report(checkout, text):
    path = checkout / "bazel-out/_coverage"
    path.mkdir(parents=True)
    (path / "_coverage_report.dat").write_text(text)


def test_a_table_of_the_lines_that_were_run(checkout, monkeypatch, capsys):
    report(checkout, "SF:common/base/str.c\nDA:1,1\nLH:9\nLF:10\nend_of_record\nSF:common/base/buf.c\nLH:0\nLF:10\nend_of_record\nSF:cwctl/main.c\nLH:3\nLF:4\nend_of_record\n")
    asked = []
    monkeypatch.setattr(house, "bazel", lambda *arguments: asked.append(arguments) or 0)
    monkeypatch.setattr(sys, "argv", ["dev", "//tests/unit/common/base:str_test"])
    assert coverage.main() == 0
    assert asked == [("coverage", "-k", "//tests/unit/common/base:str_test")]
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["common/base", "9", "of", "20", "lines", "45.0", "%"] in rows and ["cwctl", "3", "of", "4", "lines", "75.0", "%"] in rows
    assert rows[-1] == ["all", "12", "of", "24", "lines", "50.0", "%"]
    assert (checkout / ".run/coverage.lcov").read_text().startswith("SF:common/base/str.c")


def test_a_failed_test_is_told_beside_the_table(checkout, monkeypatch):
    report(checkout, "SF:a/b.c\nLH:1\nLF:1\n")
    monkeypatch.setattr(house, "bazel", lambda *arguments: 3)
    assert coverage.main() == 1


def test_without_a_report_it_says_so(monkeypatch):
    monkeypatch.setattr(house, "bazel", lambda *arguments: 1)
    with pytest.raises(house.Failure, match="no coverage report"):
        coverage.main()


def test_the_fresh_lane_runs_both():
    text = pathlib.Path(source("scripts/fresh.sh")).read_text()
    assert "./dev compile-commands" in text and "./dev coverage //tests/unit/" in text
