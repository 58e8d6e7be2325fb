"""Whether the time of a refused login tells anything about the user: medians of interleaved logins, by what is wrong, at production
parameters (argon2id 19 MiB, 2 iterations), over both doors. More than 2 % from the usual is a failure."""
# build: //authsvc:cw-authsvc
import os
import pathlib
import statistics
import sys
import tempfile

from tests.bench.measure import BIN, QUICK, report, runs, say

os.environ.setdefault("CW_PROGRAMS", str(BIN))

from tests.e2e.authsvc.doors import ANNA, DOORS, PASSWORD, document  # noqa: E402 (needs CW_PROGRAMS)
from tests.e2e.authsvc.timing import SETTINGS, medians, populate  # noqa: E402
from tests.support.stack import Authsvc  # noqa: E402

ROUNDS, TOLERANCE = 400, 0.02


def measure(directory):
    configuration = document(authsvc={"password": {"memory": "19MiB", "iterations": 2}, **SETTINGS})
    authsvc = Authsvc(directory, configuration).add_user("clinicwave", ANNA, PASSWORD)
    populate(authsvc.start())
    worst = 0
    try:
        for name, door in sorted(DOORS.items()):
            rounds = runs(ROUNDS)
            took = medians(door(authsvc), rounds)
            usual = statistics.median(took.values())
            say(f"\n  {name}: {rounds} rounds of {len(took)} interleaved logins")
            for case, median in took.items():
                report("enumeration", f"{name}: {case}", median * 1e6, "all cases", usual * 1e6, "us", rounds, ratio=median / usual)
                worst = max(worst, abs(median / usual - 1))
    finally:
        authsvc.stop()
    say(f"\n  farthest from the usual: {worst:.2%}")
    return 0 if QUICK or worst <= TOLERANCE else 1


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="cwb", dir="/tmp") as d:
        sys.exit(measure(pathlib.Path(d)))
