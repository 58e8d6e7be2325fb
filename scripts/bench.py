"""
usage: ./dev bench [NAME…] [--json] [--quick] [--strict]

Measures ours and a peer alternately and quotes medians, as ratios in one run. Without a name: all benches.
The names are those of the files tests/bench/NAME_bench.py, whose heads say what they need: `# build:` targets, `# packages:` groups of
scripts/packages.txt, `# deps:` what scripts/deps.sh brings. A peer that cannot be had is left out and named. Rows that have a bar
(tests/bench/bars.py) say whether they keep it, and the end says so for all: kept, MISSED, or unproven where a bench found its own
numbers worth nothing.

  --json    one object a line
  --quick   few short runs: does it work at all
  --strict  ends with 1 where a bar is missed, with 2 where none is missed and one is unproven
"""
import json
import os
import tempfile

import house
from house import ROOT, RUN, say

KEPT, MISSED, UNPROVEN = STATES = "kept", "MISSED", "unproven"  # tests/bench/bars.py says which


def needs(script, what):
    """The words of the lines `# WHAT: word…` of a bench."""
    start = f"# {what}: "
    return [word for line in script.read_text().splitlines() if line.startswith(start) for word in line[len(start):].split()]


def run(benches, names, flags, rows):
    """How many benches did not come to their end; None where one could not be built. Their bars are written into the file ROWS."""
    failed = 0
    for name in names:
        script = benches[name]
        if needs(script, "packages") and house.run(ROOT / "scripts/install.sh", *needs(script, "packages")).returncode:
            return None
        for deps in needs(script, "deps"):
            house.run(ROOT / "scripts/deps.sh", deps)  # it says what failed; the bench goes on with the peers that are there
        targets = needs(script, "build")
        if targets and house.bazel("build", "--config=release", *targets):
            return None
        if "--json" not in flags:
            say(f"\n== bench {name}")
        environment = dict(os.environ, CW_BIN=str(ROOT / ".bazel/bin"), CW_DEPS=str(RUN / "deps"), PYTHONPATH=str(ROOT), CW_BENCH_ROWS=rows)
        failed += house.run("/usr/bin/python3", "-B", script, *flags, env=environment).returncode != 0
    return failed


def summary(rows, as_json=False, quick=False):
    """What became of the bars of the whole run, in words."""
    by_state = {state: [name for name, s in rows if s == state] for state in STATES}
    if as_json:
        return json.dumps({"bars": by_state})
    return ("bars: " + ", ".join(f"{len(names)} {state}" for state, names in by_state.items()) + (" (quick: too short to mean much)" if quick else "")
            + "".join(f"\n  {state}: {name}" for state in (MISSED, UNPROVEN) for name in by_state[state]))


def ended(failed, rows, strict):
    """The exit code: FAILED is None where something could not be built, else the number of benches that did not come to their end."""
    states = {state for _, state in rows} if strict else set()
    if failed is None or failed or MISSED in states:
        return house.FAILED
    return house.UNDECIDED if UNPROVEN in states else house.PASSED


def main():
    benches = {p.stem.removesuffix("_bench"): p for p in sorted((ROOT / "tests/bench").glob("*_bench.py"))}
    parser = house.arguments(__doc__)
    parser.add_argument("names", nargs="*")
    for flag in ("--json", "--quick", "--strict"):
        parser.add_argument(flag, action="store_true")
    options = parser.parse_args()
    for name in options.names:
        if name not in benches:
            parser.error(f'no bench "{name}"; there are {", ".join(benches) or "none"}')
    flags = [f for f in ("--json", "--quick") if getattr(options, f[2:])]
    with tempfile.NamedTemporaryFile("r", prefix="cwb") as file:
        failed = run(benches, options.names or list(benches), flags, file.name)
        rows = [json.loads(line) for line in file]
    if rows:
        print("" if options.json else "\n", summary(rows, options.json, options.quick), sep="", flush=True)
    return ended(failed, rows, options.strict)


if __name__ == "__main__":
    house.main(main)
