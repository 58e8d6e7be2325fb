"""What many short slices, calm and stormy in turn (tests/bench/slices.h), say about a flood's cost, and whether they say anything.

One pair of slices proves nothing: this machine's cores are lent, and who lends them takes them back for milliseconds, which is what a 99th percentile is made
of. So: a pair in which any core lost more than STEAL_TICKS is left out, both slices of it, whichever it met. What is left is pooled, thousands of delays a side. The
same is then done for each half of the pairs, every other one: where the halves do not agree, what differs between flood and calm may be the machine
as well. Nor does a ratio tell anything whose calm side is not calm: what else the machine does would hide the flood. The judgement is void (`why` says why) where too
little is left, the halves lie apart, or the calm side's 99th percentile is more than CALM times its median."""
import typing

STEAL_TICKS = 0  # of 10 ms (proc(5)), of the core that lost the most
LEAST = 2000  # delays of a side: the 99th percentile has twenty above it
CALM = 8
APART = 1.5  # of the halves' 99th percentiles, on either side


class Slice(typing.NamedTuple):
    storm: bool
    steal: int
    seconds: float
    cpu_ns: int
    delays: list

    @classmethod
    def read(cls, line):
        kind, steal, seconds, cpu_ns, *delays = line.split()
        return cls(kind == "storm", int(steal), float(seconds), int(cpu_ns), [float(d) for d in delays])


class Side:
    """All slices of one kind, as one."""

    def __init__(self, slices):
        self.delays = sorted(d for s in slices for d in s.delays)
        seconds = sum(s.seconds for s in slices)
        self.cores = sum(s.cpu_ns for s in slices) / 1e9 / seconds if seconds else 0.0

    def percentile(self, p):
        return self.delays[min(len(self.delays) * p // 100, len(self.delays) - 1)] if self.delays else 0.0


def apart(a, b):
    return max(a, b) / min(a, b) if min(a, b) > 0 else float("inf")


class Judgement:
    """`calm` and `storm` of the pairs that were kept; `why` they prove nothing, or None."""

    def __init__(self, slices):
        pairs = [sorted(pair, key=lambda s: s.storm) for pair in zip(slices[::2], slices[1::2], strict=True)]
        if any(calm.storm or not storm.storm for calm, storm in pairs):
            raise ValueError("a pair is one calm and one stormy slice")
        kept = [pair for pair in pairs if all(s.steal <= STEAL_TICKS for s in pair)]
        self.pairs, self.lost = len(pairs), len(pairs) - len(kept)
        self.lost_calm, self.lost_storm = (sum(pair[i].steal > STEAL_TICKS for pair in pairs) for i in (0, 1))
        self.calm, self.storm = (Side([pair[i] for pair in kept]) for i in (0, 1))
        halves = [[Side([pair[i] for pair in kept[half::2]]).percentile(99) for half in (0, 1)] for i in (0, 1)]
        self.calm_apart, self.storm_apart = (apart(*h) for h in halves)
        self.why = self._why()

    def _why(self):
        n = min(len(self.calm.delays), len(self.storm.delays))
        if n < LEAST:
            return f"only {n} delays of {LEAST} are left on a side"
        for name, value in (("calm", self.calm_apart), ("stormy", self.storm_apart)):
            if value > APART:
                return f"the halves of the {name} slices lie {value:.2f} apart, more than {APART}"
        restless = self.calm.percentile(99) / self.calm.percentile(50)
        if restless > CALM:
            return f"without the flood the 99th percentile is {restless:.1f} times the median, more than {CALM}: the machine has other things to do"
        return None

    def __str__(self):
        return (f"{self.pairs - self.lost} of {self.pairs} pairs kept (steal in {self.lost_calm} calm, {self.lost_storm} stormy slices), {len(self.calm.delays)} delays a side; "
                f"halves' p99 {self.calm_apart:.2f} (calm), {self.storm_apart:.2f} (stormy) apart" + (f": this proves nothing, {self.why}" if self.why else ""))
