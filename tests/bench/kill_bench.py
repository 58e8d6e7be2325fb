"""`kill -9` of cw-authsvc, and of PostgreSQL, at random moments under load, against a ledger outside: what was acknowledged is there
afterwards, and no refresh token was redeemed twice (tests/e2e/authsvc/ledger.py says what is compared)."""
# build: //authsvc:cw-authsvc
import json
import pathlib
import sys
import tempfile
import time

from tests.e2e.authsvc import ledger

AS_JSON, QUICK = "--json" in sys.argv, "--quick" in sys.argv
ROUNDS = 5 if QUICK else 200


def progress(store):
    def tell(n, acknowledged):
        if not AS_JSON and n % 50 == 0:
            print(f"    {store}: {n} kills, {acknowledged} calls acknowledged", flush=True)
    return tell


for store, killing in (("SQLite", ledger.killing_on_sqlite), ("PostgreSQL", ledger.killing_on_postgresql)):
    with tempfile.TemporaryDirectory(prefix="cwk", dir="/tmp") as directory:
        begin = time.monotonic()
        acknowledged, unanswered = killing(pathlib.Path(directory), ROUNDS, progress=progress(store))
    seconds = time.monotonic() - begin
    if AS_JSON:
        print(json.dumps({"bench": "kill", "case": store, "kills": ROUNDS, "acknowledged": acknowledged, "unanswered": unanswered,
                          "lost": 0, "redeemed_twice": 0, "seconds": round(seconds)}), flush=True)
    else:
        print(f"  {store:12} {ROUNDS} kills, {acknowledged} calls acknowledged, {unanswered} without answer: none lost, none redeemed twice"
              f" ({seconds:.0f} s)", flush=True)
