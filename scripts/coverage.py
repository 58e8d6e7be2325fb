"""
usage: ./dev coverage [TARGET…]

Line coverage by gcov, nginx's module included, over the unit, attack and end-to-end tests (or over TARGET…):
a table per folder; the lcov report lies in .run/coverage.lcov.
"""
import collections
import shutil

import house
from house import ROOT, RUN, Failure, say


def main():
    parser = house.arguments(__doc__)
    parser.add_argument("targets", nargs="*")
    targets = parser.parse_args().targets or ["//tests/unit/...", "//tests/attack/...", "//tests/e2e/..."]
    code = house.bazel("coverage", "-k", *targets)
    report = ROOT / "bazel-out" / "_coverage" / "_coverage_report.dat"
    if not report.exists():
        raise Failure("no coverage report was made", "see the messages above")
    RUN.mkdir(exist_ok=True)
    shutil.copyfile(report, RUN / "coverage.lcov")
    folders, source = collections.defaultdict(lambda: [0, 0]), ""
    for line in open(report, encoding="utf-8"):
        key, _, value = line.strip().partition(":")
        if key == "SF":
            source = value
        elif key in ("LH", "LF"):
            folder = "/".join(source.split("/")[:-1])
            folders[folder][key == "LF"] += int(value)
    for folder, (hit, found) in sorted(folders.items()):
        say(f"  {folder:32} {hit:6} of {found:6} lines  {100 * hit / max(found, 1):5.1f} %")
    hit, found = (sum(f[i] for f in folders.values()) for i in (0, 1))
    say(f"  {'all':32} {hit:6} of {found:6} lines  {100 * hit / max(found, 1):5.1f} %")
    return 1 if code else 0


if __name__ == "__main__":
    house.main(main)
