"""
usage: ./dev test [LANE…] [--quick] [--junit DIR]

Runs the tests and closes with the logs of what failed and one line over all lanes: N passed, N failed, N skipped.
Without a lane: everything that CI runs. A lane that cannot run is a failure. Up to three targets that fail run once more,
alone: what passes then counts as passed and is named as flaky, with its log; a sanitizer's report is never tried again.

  unit      modules, with clock, random and network injected
  attack    the attacks on tokens, each beside its accepted twin
  fuzz      committed corpora replayed, then a short run of each fuzz target
  e2e       real nginx, sidecar, authsvc and storage-service, driven by pytest
  interop   servers and clients that this project did not write
  sanitize  unit, attack, fuzz and the cheap end-to-end tests under ASan+UBSan; the threaded ones under TSan
  lint      style, layering, generated files; also ./dev lint
  fresh     (only when named) a bare Debian in a folder: clone, ./dev up, a login, ./dev test --quick

  --quick      unit, attack and lint
  --junit DIR  also writes DIR/LANE.xml for CI systems
"""
import collections
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import urllib.parse
import xml.etree.ElementTree as xml

import cache
import house
import lint
from house import BIN, ROOT, RUN, Failure, say, step

# result: passed, flaky, failed, skipped; log: on one failed case of a target, what its programs wrote
Case = collections.namedtuple("Case", "suite name result detail log", defaults=[""])
FUZZ_SECONDS = 5
# End-to-end tests wait more than they work, but under sanitizers: three at once on two cores.
WAITING = ["--local_cpu_resources=HOST_CPUS*1.5", "--jobs=HOST_CPUS*1.5"]
LOG_LINES, REPORT_LINES, LOGS_SHOWN = 100, 60, 30  # of a failed target's log: its end, a sanitizer's report; targets
SECOND_RUNS = 3  # targets of a call that get a second run; more than that is no flicker
REPORT = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|: runtime error: |== ERROR: libFuzzer")


def excerpt(text):
    """The end of a log and, where it stands further up, the first report of a sanitizer."""
    lines = text.splitlines()
    start = max(0, len(lines) - LOG_LINES)
    report = next((i for i, line in enumerate(lines) if REPORT.search(line)), start)
    head = lines[report:min(report + REPORT_LINES, start)] if report < start else []
    left_out = start - len(head)
    return "\n".join(head + ([f"[… {left_out} lines left out …]"] if left_out else []) + lines[start:])


def with_log(cases, text):
    """The first failed case carries the target's log."""
    first = next((i for i, c in enumerate(cases) if c.result == "failed"), None)
    return cases if first is None else cases[:first] + [cases[first]._replace(log=text)] + cases[first + 1:]


def say_logs(cases):
    logged = [c for c in cases if c.log]
    for case in logged[:LOGS_SHOWN]:
        step(f"log of {case.suite}")
        say(excerpt(case.log))
    if len(logged) > LOGS_SHOWN:
        say(f"[… {len(logged) - LOGS_SHOWN} logs more …]")


def cases_of_pytest(label, path):
    """Cases from the XML that pytest wrote in place of Bazel's own; None where it did not."""
    try:
        suites = xml.parse(path).getroot().iter("testcase")
    except (OSError, xml.ParseError):
        return None
    cases = []
    for case in suites:
        if not case.get("classname"):
            return None
        bad = next((c for c in case if c.tag in ("failure", "error")), None)
        skipped = next((c for c in case if c.tag == "skipped"), None)
        result = "failed" if bad is not None else "skipped" if skipped is not None else "passed"
        detail = (bad if bad is not None else skipped) if result != "passed" else None
        cases.append(Case(label, case.get("name"), result, "" if detail is None else detail.get("message") or ""))
    return cases or None


def cases_of_log(label, text, passed):
    """Cases from the log: cmocka's lines, the replay's count, else the target as one case."""
    cases = []
    for mark, name in re.findall(r"^\[ *(OK|FAILED|SKIPPED) *\] (?!\w+: )(\S+)$", text, re.M):
        cases.append(Case(label, name, {"OK": "passed", "FAILED": "failed", "SKIPPED": "skipped"}[mark], ""))
    cases = list({c.name: c for c in cases}.values())
    if not cases:
        n = max([int(m) for m in re.findall(r"^\[=+\] (?:\w+: )?(\d+) test\(s\) run\.", text, re.M)] or [1])
        cases = [Case(label, f"input {i + 1}", "passed", "") for i in range(n)] if passed else []
    if not passed and not any(c.result == "failed" for c in cases):
        cases.append(Case(label, "the program", "failed", "ended with an error"))
    return cases


def read_events(path):
    """Bazel's build events: label -> (status, logs, xmls)."""
    logs, xmls, status = collections.defaultdict(list), collections.defaultdict(list), {}
    unbuilt, aborted = set(), []
    for line in open(path, encoding="utf-8", errors="replace"):
        event = json.loads(line)
        key = event["id"]
        if "testResult" in event:
            label = key["testResult"]["label"]
            good = event["testResult"].get("status") == "PASSED"
            for out in event["testResult"].get("testActionOutput", []):
                file = urllib.parse.unquote(out.get("uri", "")[len("file://"):])
                if out["name"] == "test.log":
                    logs[label].insert(len(logs[label]) if good else 0, file)  # what failed of several runs comes first
                elif out["name"] == "test.xml":
                    xmls[label].append(file)
        elif "testSummary" in event:
            status[key["testSummary"]["label"]] = event["testSummary"]["overallStatus"]
        elif "completed" in event and not event["completed"].get("success"):
            unbuilt.add(key["targetCompleted"]["label"])
        elif "aborted" in event and event["aborted"].get("reason") not in (None, "SKIPPED", "INCOMPLETE"):
            aborted.append(event["aborted"].get("description", ""))
    for label in unbuilt - status.keys():
        status[label] = "NOT BUILT"
    return status, logs, xmls, aborted


def bazel_tests(what, targets, *flags):
    """Runs the tests of TARGETS; their cases. What fails gets a second run: see the usage."""
    cases = run_once(what, targets, *flags)
    failed = sorted({c.suite for c in cases if c.result == "failed" and c.suite.startswith("//")})
    final = {c.suite for c in cases if c.result == "failed" and (c.name == "build" or REPORT.search(c.log))}
    again = [label for label in failed if label not in final]
    if not again or len(again) > SECOND_RUNS:
        return cases
    step(f"a second run of {', '.join(again)}")
    second = run_once(what, again, *flags, "--local_test_jobs=1", "--nocache_test_results")
    passed = {label for label in again if any(c.suite == label for c in second)
              and not any(c.suite == label and c.result == "failed" for c in second)}
    return [c._replace(result="flaky") if c.suite in passed and c.result == "failed" else c for c in cases]


def run_once(what, targets, *flags):
    """One call of bazel test; its cases. No test at all, or one that does not build, is a failed case."""
    with tempfile.TemporaryDirectory() as scratch:
        events = os.path.join(scratch, "events.json")
        fresh = ["--nocache_test_results"] if os.environ.get("CI") else []
        code = house.bazel("test", "-k", "--build_tests_only", f"--build_event_json_file={events}", *fresh, *flags, "--", *targets)
        if not os.path.exists(events):
            return [Case(what, "bazel", "failed", f"bazel ended with {code}")]
        status, logs, xmls, aborted = read_events(events)
        cases = []
        for label, result in sorted(status.items()):
            passed = result in ("PASSED", "FLAKY")
            if result == "NOT BUILT":
                cases.append(Case(label, "build", "failed", "does not build"))
                continue
            found = [c for path in xmls[label] for c in cases_of_pytest(label, path) or []]
            texts = [pathlib.Path(p).read_text(errors="replace") for p in logs[label] if os.path.exists(p)]
            if not found:
                text = "\n".join(texts)
                found = cases_of_log(label, text, passed)
            elif not passed and not any(c.result == "failed" for c in found):
                found.append(Case(label, "the program", "failed", result))
            cases += found if passed else with_log(found, texts[0] if texts else f"({result}, no log)")
        if code not in (0, 3) and not any(c.result == "failed" for c in cases):
            cases.append(Case(what, "bazel", "failed", "; ".join(aborted)[:300] or f"bazel ended with {code}, no test ran"))
        return cases


def query(expression):
    r = house.run("bazel", "query", "--noshow_progress", expression, capture_output=True, text=True)
    return r.stdout.split()


def unit():
    return bazel_tests("unit", ["//tests/unit/..."])


def attack():
    return bazel_tests("attack", ["//tests/attack/..."])


def fuzz():
    cases = bazel_tests("fuzz", ["//tests/fuzz/..."], "--test_tag_filters=fuzz")
    targets = query("attr(tags, '\\bfuzz\\b', tests(//tests/fuzz/...))")
    if not targets or house.bazel("build", "--config=fuzz", *targets):
        return cases + [Case("fuzz", "build", "failed", "the fuzz targets do not build with --config=fuzz")]
    for target in targets:
        package, name = target[2:].split(":")
        with tempfile.TemporaryDirectory() as scratch:
            corpus = os.path.join(scratch, "corpus")
            os.mkdir(corpus)
            runfiles = BIN / package / (name + ".runfiles") / "clinicwave_gate"
            for file in sorted(runfiles.rglob("*")):
                if file.is_file() and file.name != name:
                    shutil.copy(file, os.path.join(corpus, f"{len(os.listdir(corpus))}-{file.name}"))
            r = subprocess.run([BIN / package / name, f"-max_total_time={FUZZ_SECONDS}", "-timeout=10", "-rss_limit_mb=2048",
                                f"-artifact_prefix={RUN}/fuzz-{name}-", corpus], capture_output=True, text=True, errors="replace")
        cases.append(Case(target, f"{FUZZ_SECONDS} seconds of new inputs", "failed" if r.returncode else "passed",
                          f"the input is kept below {RUN}" if r.returncode else "", r.stderr if r.returncode else ""))
        say(f"  {target}: {'failed' if r.returncode else 'fine'}")
    return cases


def e2e():
    return bazel_tests("e2e", ["//tests/e2e/..."], "--test_tag_filters=e2e", *WAITING)


def interop():
    if house.run(ROOT / "scripts/deps.sh", "interop").returncode:
        return [Case("interop", "scripts/deps.sh", "failed", "the servers of others could not be had; see above")]
    return bazel_tests("interop", ["//tests/interop/..."], "--test_tag_filters=interop", f"--test_env=CW_DEPS={RUN}/deps")


def sanitize():
    """The tag `nosan` keeps a test out of it, with the reason in its BUILD file; `sanitize` takes an end-to-end test in."""
    return (bazel_tests("asan-ubsan", ["//tests/unit/...", "//tests/attack/...", "//tests/fuzz/..."],
                        "--config=asan-ubsan", "--test_tag_filters=-nosan")
            + bazel_tests("asan-ubsan, end to end", ["//tests/e2e/..."], "--config=asan-ubsan", "--test_tag_filters=sanitize")
            + bazel_tests("tsan", ["//tests/unit/..."], "--config=tsan", "--test_tag_filters=-nosan"))


def lint_lane():
    return [Case("lint", name, "failed" if problems else "passed", problems[0] if problems else "", "\n".join(problems))
            for name, problems in lint.check_all()]


LANES = {"unit": unit, "attack": attack, "fuzz": fuzz, "e2e": e2e, "interop": interop, "sanitize": sanitize, "lint": lint_lane}
QUICK = ["unit", "attack", "lint"]
# Groups of scripts/packages.txt that a lane needs beside those of every test run.
PACKAGES = {"fuzz": ["clang"], "interop": ["idp", "eureka", "interop"], "lint": ["clang", "lint"], "fresh": ["fresh"]}


def fresh():
    return [Case("fresh", "a bare Debian", "failed" if house.run(ROOT / "scripts/fresh.sh").returncode else "passed", "")]


def write_junit(directory, lane, cases, took):
    os.makedirs(directory, exist_ok=True)
    root = xml.Element("testsuite", name=lane, tests=str(len(cases)), time=f"{took:.1f}",
                       failures=str(count(cases, "failed")), skipped=str(count(cases, "skipped")))
    for case in cases:
        e = xml.SubElement(root, "testcase", classname=case.suite, name=case.name)
        if case.result == "flaky":
            xml.SubElement(e, "flakyFailure", message=case.detail)  # as Maven Surefire writes it
        elif case.result != "passed":
            xml.SubElement(e, "failure" if case.result == "failed" else "skipped", message=case.detail)
    xml.ElementTree(root).write(os.path.join(directory, lane + ".xml"), encoding="utf-8", xml_declaration=True)


def count(cases, result):
    return sum(c.result == result for c in cases)


def totals(cases):
    return f"{count(cases, 'passed') + count(cases, 'flaky')} passed, {count(cases, 'failed')} failed, {count(cases, 'skipped')} skipped"


def main():
    parser = house.arguments(__doc__)
    parser.add_argument("lanes", nargs="*")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--junit")
    options = parser.parse_args()
    lanes = options.lanes or (QUICK if options.quick else list(LANES))
    known = dict(LANES, fresh=fresh)
    for lane in lanes:
        if lane not in known:
            parser.error(f'no lane "{lane}"; there are {", ".join(known)}')

    groups = sorted({group for lane in lanes for group in PACKAGES.get(lane, [])})
    if groups and house.run(ROOT / "scripts/install.sh", *groups).returncode:
        return house.FAILED
    cache.prune()
    everything, rows = [], []
    for lane in lanes:
        step(f"lane {lane}")
        begun = time.monotonic()
        try:
            cases = known[lane]() or [Case(lane, "lane", "failed", "no test ran")]
        except (Failure, OSError) as e:
            cases = [Case(lane, "lane", "failed", str(e))]
        took = time.monotonic() - begun
        for case in cases:
            if case.result in ("failed", "flaky"):
                say(f"  {case.result.upper()} {case.suite} {case.name}" + (f": {case.detail}" if case.detail else ""))
        if options.junit:
            write_junit(options.junit, lane, cases, took)
        everything += cases
        rows.append(f"  {lane:9} {totals(cases):40} {took:5.0f} s")
        say(rows[-1])

    say_logs(everything)
    step("all lanes")
    for row in rows:
        say(row)
    for case in everything:
        if case.result == "flaky":
            say(f"  flaky: {case.suite} {case.name}: failed, and passed on a second run alone")
    say("")
    say(totals(everything))
    return 1 if count(everything, "failed") else 0


if __name__ == "__main__":
    house.main(main)
