"""What a verdict costs: warm and unary beside a C-core server that only says yes, warm in batches by digest, cold beside the bare
EVP verification, and memory for each live token."""
# build: //tests/bench:echo_server //tests/bench:load //tests/bench:mint_tokens //sidecar:cw-sidecar
import subprocess

from tests.bench.measure import BIN, QUICK, Directory, Load, alternate, duration, report, rss_kib, runs, say

WARM_TOKENS = 1000
# The same claims whatever the algorithm: 457 bytes are signed, and the signature is 342 characters long with RS256, 86 with the others.
SIGNED = 457
TOKEN = {"RS256": 800, "ES256": 544, "EdDSA": 544}


def warm_unary(directory):
    jwks, tokens = directory.tokens("RS256", WARM_TOKENS)
    ours, _, ours_socket = directory.sidecar(jwks, ["RS256"])
    theirs, their_socket = directory.echo()
    say("\n  warm, unary: Validate with the token, by calls outstanding")
    for outstanding in (1, 8, 32):
        n = runs(7)
        a, b = alternate(n, lambda: Load("unary", ours_socket, tokens, outstanding, duration(2000), pid=ours.pid).per_second,
                         lambda: Load("unary", their_socket, tokens, outstanding, duration(2000), pid=theirs.pid).per_second)
        report("sidecar", f"unary-{outstanding}", a, "c-core echo", b, "calls/s", n)


def warm_batched(directory):
    jwks, tokens = directory.tokens("RS256", WARM_TOKENS)
    ours, ours_socket, _ = directory.sidecar(jwks, ["RS256"], spins=False)
    theirs, their_socket = directory.echo()
    say("\n  warm, batched: ValidateStream by digest, verdicts for each second of the server's CPU time")
    for entries in (1, 32, 256):
        n = runs(7)
        a, b = alternate(n, lambda: Load("batch", ours_socket, tokens, entries, 4, duration(2000), pid=ours.pid).per_core_second,
                         lambda: Load("batch", their_socket, tokens, entries, 4, duration(2000), pid=theirs.pid).per_core_second)
        report("sidecar", f"batch-{entries}", a, "c-core echo", b, "verdicts/s per core", n)


def evp_us(alg):
    out = subprocess.run([BIN / "tests/bench/mint_tokens", "evp", alg, str(SIGNED), str(duration(500))], check=True, capture_output=True, text=True)
    return int(out.stdout) / 1e3


def cold(directory, alg, count):
    """A sidecar that has never seen the tokens; all CPU time of the process counts, transport included.

    So many tokens that what the process does once (threads, first pages, key tables) does not show."""
    jwks, tokens = directory.tokens(alg, count, TOKEN[alg])

    def ours():
        process, socket, _ = directory.sidecar(jwks, [alg], spins=False)
        result = Load("once", socket, tokens, pid=process.pid).server_us
        directory.stop(process)
        return result

    n = runs(5)
    a, b = alternate(n, ours, lambda: evp_us(alg))
    report("sidecar", f"cold-{alg}", a, "bare EVP verify", b, "CPU us/token", n, ratio=a / b)


def memory(directory):
    """What 100 000 live tokens add to the process; --quick takes the slope between 5 000 and 25 000."""
    first, all_of_them = (5_000, 25_000) if QUICK else (0, 100_000)
    jwks, tokens = directory.tokens("EdDSA", all_of_them)
    lines = tokens.read_text().splitlines(keepends=True)
    process, socket, _ = directory.sidecar(jwks, ["EdDSA"])
    part = directory.path / "part.tokens"
    if first:
        part.write_text("".join(lines[:first]))
        Load("once", socket, part, pid=process.pid)
    before = rss_kib(process)
    part.write_text("".join(lines[first:]))
    Load("once", socket, part, pid=process.pid)
    mib = (rss_kib(process) - before) / 1024 * 100_000 / (all_of_them - first)
    report("sidecar", "memory-100k", mib, "acceptance", 64, "MiB for 100 000 live tokens", 1, ratio=mib / 64)
    directory.stop(process)


with Directory() as d:
    warm_unary(d)
with Directory() as d:
    warm_batched(d)
with Directory() as d:
    say("\n  cold: tokens never seen before, beside one EVP verification with a parsed key (below 1 is impossible, small is good)")
    for name in ("RS256", "ES256", "EdDSA"):
        cold(d, name, 2000 if QUICK else 6000)
    say("\n  memory")
    memory(d)
