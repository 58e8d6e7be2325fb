"""
usage: ./dev bench [NAME…] [--json] [--quick]

Measures ours and a peer alternately and quotes medians, as ratios in one run. Without a name: all benches.
The names are those of the files tests/bench/NAME_bench.py.

  --json   one object a line
  --quick  few short runs: does it work at all
"""
import os

import house
from house import ROOT, say


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
        targets = [t for line in script.read_text().splitlines() if line.startswith("# build: ") for t in line[9:].split()]
        if targets and house.bazel("build", "--config=release", *targets):
            return house.FAILED
        if not options.json:
            say(f"\n== bench {name}")
        environment = dict(os.environ, CW_BIN=str(ROOT / ".bazel/bin"), PYTHONPATH=str(ROOT))
        failed += house.run("/usr/bin/python3", "-B", script, *flags, env=environment).returncode != 0
    return house.FAILED if failed else house.PASSED


if __name__ == "__main__":
    house.main(main)
