"""What Debian's libjwt accepts, and what its verification and its signature cost beside EVP with a key parsed once
(docs/decisions/0002, 0014)."""
# build: //tests/bench:libjwt
import json
import os
import subprocess
import sys

as_json = "--json" in sys.argv
quick = ["quick"] if "--quick" in sys.argv else []
out = subprocess.run([os.path.join(os.environ["CW_BIN"], "tests/bench/libjwt"), *quick], check=True, capture_output=True, text=True).stdout
for line in out.splitlines():
    name, *values = line.split("\t")
    if name != "us":
        if not as_json:
            print(f"  libjwt, {name:50} {values[0]}")
        continue
    alg, ours, theirs, runs = values[0], float(values[1]), float(values[2]), int(values[3])
    if as_json:
        print(json.dumps({"bench": "libjwt", "case": alg, "ours": ours, "peer": "libjwt", "theirs": theirs,
                          "ratio": round(theirs / ours, 2), "unit": "us", "runs": runs}))
    else:
        print(f"  {alg}: EVP {ours:7.1f} us, libjwt {theirs:7.1f} us: {theirs / ours:.1f} times, medians of {runs}")
