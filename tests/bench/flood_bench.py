"""What a flood of bad tokens costs those who send good ones: the delay of good tokens, known and new, alone and while another client sends
unknown key names or bad signatures as fast as it can; and how often the issuer's keys are fetched meanwhile."""
# build: //tests/bench:load //tests/bench:mint_tokens //sidecar:cw-sidecar
import base64
import http.server
import json
import random
import statistics
import subprocess
import threading
import time

from tests.bench.measure import BIN, DOMAIN, Directory, duration, report, runs, say

PER_SECOND, OUTSTANDING, BAD_TOKENS, BAR, FETCHES_BAR = 200, 64, 5000, 3, 1
HEAD_START = 0.5  # seconds that the flood runs before anybody measures


class Keys(http.server.BaseHTTPRequestHandler):
    """The issuer's key set, which counts how often it is asked."""

    document, fetches = b"", 0

    def do_GET(self):
        Keys.fetches += 1
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(self.document)))
        self.end_headers()
        self.wfile.write(self.document)

    def log_message(self, *_):
        pass


def b64(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def bad_tokens(kind, good):
    """Tokens that no key verifies: of KIND "unknown-kid" or "bad-signature", with the claims of a good one."""
    chance = random.Random(4)
    header, payload, _ = good.split(".")
    for _ in range(BAD_TOKENS):
        if kind == "unknown-kid":
            header = b64(json.dumps({"alg": "RS256", "typ": "at+jwt", "kid": f"{chance.getrandbits(64):x}"}).encode())
        yield f"{header}.{payload}.{b64(chance.randbytes(256))}\n"


def paced(socket, tokens, pid, milliseconds):
    """(50th, 99th percentile) of the delay of good tokens, in microseconds."""
    out = subprocess.run([str(a) for a in (BIN / "tests/bench/load", "paced", socket, tokens, DOMAIN, PER_SECOND, milliseconds, pid)],
                         check=True, capture_output=True, text=True).stdout.split()
    if out[0] != out[1]:
        raise SystemExit(f"bench: {int(out[0]) - int(out[1])} of {out[0]} good tokens were no ALLOW")
    return float(out[4]), float(out[5])


class Flood:
    def __init__(self, socket, tokens, pid):
        self.argv = [str(a) for a in (BIN / "tests/bench/load", "flood", socket, tokens, DOMAIN, OUTSTANDING, 600_000, pid)]

    def __enter__(self):
        self.process = subprocess.Popen(self.argv, stdout=subprocess.DEVNULL)
        time.sleep(HEAD_START)

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()


with Directory() as d:
    milliseconds, n = duration(2000), runs(5)
    rounds = {"known": n, "new": max(1, n // 2)}
    need = PER_SECOND * milliseconds // 1000 + 1  # tokens of one measurement
    jwks, tokens = d.tokens("RS256", 1 + need * rounds["new"] * 2 * 2)  # calm and stormy, of two kinds
    Keys.document = jwks.read_bytes()
    issuer = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    threading.Thread(target=issuer.serve_forever, daemon=True).start()
    process, gateway_socket, service_socket = d.sidecar(f"http://127.0.0.1:{issuer.server_port}/", ["RS256"])
    good = tokens.read_text().splitlines(keepends=True)
    known = d.path / "known.tokens"
    known.write_text(good[0])

    def new():
        """A file of good tokens that the sidecar has not seen."""
        path = d.path / "new.tokens"
        path.write_text("".join(good[-need:]))
        del good[-need:]
        return path

    paced(gateway_socket, known, process.pid, 300)  # warm
    say(f"\n  delay of good tokens, {PER_SECOND} a second, in the flood and without it; the bar for the 99th percentile is {BAR}")
    for kind in ("unknown-kid", "bad-signature"):
        bad = d.path / f"{kind}.tokens"
        bad.write_text("".join(bad_tokens(kind, good[0].strip())))
        flood = Flood(service_socket, bad, process.pid)
        for who, source in (("known", lambda: known), ("new", new)):
            calm, stormy = [], []
            Keys.fetches, began = 0, time.monotonic()
            for _ in range(rounds[who]):
                calm.append(paced(gateway_socket, source(), process.pid, milliseconds)[1])
                with flood:
                    stormy.append(paced(gateway_socket, source(), process.pid, milliseconds)[1])
            a, b = statistics.median(stormy), statistics.median(calm)
            report("flood", f"{kind}-{who}-p99", a, "without flood", b, "us", len(calm), ratio=a / b)
            allowed = 1 + (time.monotonic() - began) / 30
            report("flood", f"{kind}-{who}-fetches", Keys.fetches, "bound", allowed, "fetches of the key set", len(calm), ratio=Keys.fetches / allowed)
    issuer.shutdown()
