"""What a warm verdict costs in the sidecar by the number of tokens and tenants that it knows, what a look-up in the cache alone costs,
and the memory for each token.

`verdict` and `look-up` are measured in one process, without the transport, whose cost depends on neither number and would hide the
difference. A caller pays for both: `verdict-carried` adds what the C-core echo server, which looks at nothing, uses for each entry of a
batch of as many. `memory` reads as many lines from as many places as a verdict does, and does nothing else; `verdict-least` is what a verdict
would cost if its own code were free of every delay but that one: below it no ratio can be brought without reading less."""
# build: //tests/bench:echo_server //tests/bench:load //tests/bench:mint_tokens //tests/bench:scale
import statistics
import subprocess

from tests.bench.measure import BIN, QUICK, Directory, Load, duration, report, runs, say

SMALL, LARGE = (1_000, 1), (1_000_000, 10_000)
LARGE_QUICK = (100_000, 1_000)
BATCH, IN_FLIGHT = 32, 4


def scale(tokens, tenants):
    """(nanoseconds a look-up, nanoseconds a verdict, bytes a token, nanoseconds for a verdict's memory)"""
    out = subprocess.run([BIN / "tests/bench/scale", str(tokens), str(tenants), str(duration(1000))], check=True, capture_output=True, text=True)
    return [float(x) for x in out.stdout.split()]


def carrying(directory):
    """A function that measures nanoseconds of the echo server's CPU time for each entry."""
    _, tokens = directory.tokens("RS256", SMALL[0])
    process, socket = directory.echo()
    return lambda: Load("batch", socket, tokens, BATCH, IN_FLIGHT, duration(1000), pid=process.pid).server_us * 1e3


large = LARGE_QUICK if QUICK else LARGE
n = runs(5)
with Directory() as d:
    carry = carrying(d)
    rounds = [(scale(*SMALL), scale(*large), carry()) for _ in range(n)]
small_look_up, small_verdict, _, small_memory = (statistics.median(r[0][i] for r in rounds) for i in range(4))
large_look_up, large_verdict, large_bytes, large_memory = (statistics.median(r[1][i] for r in rounds) for i in range(4))
carried = statistics.median(r[2] for r in rounds)
tokens, tenants = large
few = f"{SMALL[0]:,} tokens, {SMALL[1]} tenant".replace(",", " ")
say(f"\n  {tokens:,} tokens of {tenants:,} tenants beside {few}; the ratio is the first to the second: small is good, the bar for a verdict is 1.5".replace(",", " "))
report("scale", "verdict-carried", large_verdict + carried, few, small_verdict + carried, "CPU ns/verdict", n,
       ratio=(large_verdict + carried) / (small_verdict + carried))
report("scale", "verdict", large_verdict, few, small_verdict, "CPU ns/verdict", n, ratio=large_verdict / small_verdict)
least = small_verdict + carried + large_memory - small_memory
report("scale", "memory", large_memory, few, small_memory, "CPU ns/verdict", n, ratio=large_memory / small_memory)
report("scale", "verdict-least", least, few, small_verdict + carried, "CPU ns/verdict", n, ratio=least / (small_verdict + carried))
report("scale", "look-up", large_look_up, few, small_look_up, "CPU ns/look-up", n, ratio=large_look_up / small_look_up)
mib = large_bytes * 1_000_000 / 2**20
report("scale", "memory-1m", mib, "target", 400, "MiB for 1 000 000 tokens", n, ratio=mib / 400)
