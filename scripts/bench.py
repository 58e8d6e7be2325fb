"""
usage: ./dev bench [NAME…] [--json] [--quick]

Measures ours and a peer alternately and quotes medians, as ratios in one run. Without a name: all benches.
The names are those of the files tests/bench/NAME_bench.py, whose heads say what they need: `# build:` targets, `# packages:` groups of
scripts/packages.txt, `# deps:` what scripts/deps.sh brings. A peer that cannot be had is left out and named.

  --json   one object a line
  --quick  few short runs: does it work at all
"""
import os

import house
from house import ROOT, RUN, say


def needs(script, what):
    """The words of the lines `# WHAT: word…` of a bench."""
    start = f"# {what}: "
    return [word for line in script.read_text().splitlines() if line.startswith(start) for word in line[len(start):].split()]


def main():
    benches = {p.stem.removesuffix("_bench"): p for p in sorted((ROOT / "tests/bench").glob("*_bench.py"))}
    parser = house.arguments(__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    for name in options.names:
        if name not in benches:
            parser.error(f'no bench "{name}"; there are {", ".join(benches) or "none"}')
    flags = [f for f in ("--json", "--quick") if getattr(options, f[2:])]
    failed = 0
    for name in options.names or benches:
        script = benches[name]
        if needs(script, "packages") and house.run(ROOT / "scripts/install.sh", *needs(script, "packages")).returncode:
            return house.FAILED
        for deps in needs(script, "deps"):
            house.run(ROOT / "scripts/deps.sh", deps)  # it says what failed; the bench goes on with the peers that are there
        targets = needs(script, "build")
        if targets and house.bazel("build", "--config=release", *targets):
            return house.FAILED
        if not options.json:
            say(f"\n== bench {name}")
        environment = dict(os.environ, CW_BIN=str(ROOT / ".bazel/bin"), CW_DEPS=str(RUN / "deps"), PYTHONPATH=str(ROOT))
        failed += house.run("/usr/bin/python3", "-B", script, *flags, env=environment).returncode != 0
    return house.FAILED if failed else house.PASSED


if __name__ == "__main__":
    house.main(main)
