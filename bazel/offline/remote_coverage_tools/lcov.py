#!/usr/bin/python3
"""Coverage for Bazel without downloads: per test from gcov's JSON, then merged over all tests."""
import collections
import glob
import gzip
import json
import os
import sys

options = dict(a[2:].split("=", 1) for a in sys.argv[1:] if a.startswith("--") and "=" in a)
lines = collections.defaultdict(collections.Counter)

if "reports_file" in options:  # coverage_report_generator: merge
    with open(options["reports_file"]) as f:
        reports = [p for p in f.read().split() if os.path.exists(p)]
    for path in reports:
        source = None
        with open(path) as f:
            for line in f:
                key, _, value = line.strip().partition(":")
                if key == "SF":
                    source = value
                elif key == "DA":
                    number, count = value.split(",")
                    lines[source][int(number)] += int(count)
else:  # lcov_merger: one test
    for path in glob.glob(options["coverage_dir"] + "/**/*.gcov.json.gz", recursive=True):
        with gzip.open(path) as f:
            report = json.load(f)
        for entry in report["files"]:
            if entry["file"].startswith(("/", "external/", "tests/")):
                continue
            for line in entry["lines"]:
                lines[entry["file"]][line["line_number"]] += line["count"]

with open(options["output_file"], "w") as out:
    for source, counts in sorted(lines.items()):
        out.write(f"SF:{source}\n")
        for number, count in sorted(counts.items()):
            out.write(f"DA:{number},{count}\n")
        out.write(f"LH:{sum(c > 0 for c in counts.values())}\nLF:{len(counts)}\nend_of_record\n")
