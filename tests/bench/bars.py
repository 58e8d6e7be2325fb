"""What each reported row is held to: the bar, which keeps or misses, and the target, where we want to be. A row is named by bench, case and peer,
with * as in a shell. The value is the reported ratio, or the first number of the row where the bar is on `ours`."""
import fnmatch
import typing


class Bar(typing.NamedTuple):
    bench: str
    case: str
    peer: str
    sign: str  # ">=" or "<="
    bar: float | None  # None: only a target
    target: float | None
    of: str = "ratio"

    def reached(self, value, bound):
        return value >= bound if self.sign == ">=" else value <= bound


BARS = (
    Bar("gateway", "warm-*", "echo prototype", ">=", 0.95, 0.98),
    Bar("gateway", "warm-1", "nginx-bare", ">=", None, 0.70),
    Bar("gateway", "warm-8", "nginx-bare", ">=", None, 0.80),
    Bar("gateway", "warm-32", "nginx-bare", ">=", None, 0.95),
    Bar("gateway", "warm-128", "nginx-bare", ">=", None, 0.95),
    Bar("gateway", "warm-[18]", "nginx-auth_request", ">=", 0.92, 1.0),
    Bar("gateway", "warm-32", "nginx-auth_request", ">=", 1.05, 1.25),
    Bar("gateway", "warm-128", "nginx-auth_request", ">=", 1.25, 1.4),
    *(Bar("gateway", case, peer, ">=", bar, target)
      for case in ("warm-32", "warm-128")
      for peer, bar, target in (("haproxy-jwt_verify", 1.9, 2), ("envoy-jwt_authn", 2, 2.5), ("envoy-ext_authz", 4, 4.5), ("spring-cloud-gateway", 8, 10))),
    Bar("sidecar", "batch-32", "*", ">=", 500_000, 1_000_000, of="ours"),
    Bar("sidecar", "batch-256", "*", ">=", 500_000, 1_000_000, of="ours"),
    Bar("sidecar", "unary-*", "c-core echo", ">=", 0.90, 0.95),
    Bar("sidecar", "cold-RS256", "*", "<=", 1.5, 1.3),
    Bar("sidecar", "cold-ES256", "*", "<=", 1.15, 1.15),
    Bar("sidecar", "cold-EdDSA", "*", "<=", 1.15, 1.15),
    Bar("sidecar", "memory-100k", "*", "<=", 64, 48, of="ours"),
    Bar("scale", "verdict-carried", "*", "<=", 1.5, 1.25),
    Bar("scale", "memory-1m", "*", "<=", None, 400, of="ours"),
    Bar("authsvc", "login *", "*", ">=", 0.9, 0.95),
    Bar("authsvc", "refresh *", "*", ">=", 0.8, 0.9),
    Bar("flood", "*-p99", "*", "<=", 3, 2),
    Bar("flood", "*-fetches", "*", "<=", 1, None),
)

KEPT, MISSED, UNPROVEN = "kept", "MISSED", "unproven"


def find(bench, case, peer):
    """The row's bar, or None."""
    return next((b for b in BARS if b.bench == bench and fnmatch.fnmatchcase(case, b.case) and fnmatch.fnmatchcase(peer, b.peer)), None)


def number(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:g}"


def judge(bar, ours, ratio, proven=True):
    """(KEPT, MISSED, UNPROVEN, or None where there is only a target; the same in words)"""
    value = ours if bar.of == "ours" else ratio
    target = "" if bar.target is None else f"target {number(bar.target)}" + (" reached" if bar.reached(value, bar.target) else "")
    if bar.bar is None:
        return None, target
    state = KEPT if bar.reached(value, bar.bar) else MISSED
    state = state if proven else UNPROVEN
    return state, f"{bar.sign} {number(bar.bar)} {state}" + (f", {target}" if target and state == KEPT else "")

