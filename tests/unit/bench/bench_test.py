"""A bench that proves nothing says so, and a bar that is missed is told."""
import json
import random
import sys

import pytest

from tests.bench import bars, slices
from tests.support.programs import source

sys.path.insert(0, str(source("scripts/bench.py").parent))

import bench  # noqa: E402
import house  # noqa: E402

CHANCE = random.Random(7)
EACH = 100  # delays of a slice


def pair(calm_us=200.0, storm_us=300.0, calm_steal=0, storm_steal=0, turned=False):
    """Two slices whose delays are spread around the given ones, as load prints them."""
    both = [slices.Slice.read(" ".join([kind, str(steal), "0.2", "20000000", *(f"{us * CHANCE.uniform(0.5, 1.5):.1f}" for _ in range(EACH))]))
            for kind, us, steal in (("calm", calm_us, calm_steal), ("storm", storm_us, storm_steal))]
    return both[::-1] if turned else both


def judge(*pairs):
    return slices.Judgement([s for p in pairs for s in p])


def steady(n=60, **what):
    return [pair(turned=i % 2 == 1, **what) for i in range(n)]


def test_steady_slices_prove_what_they_show():
    judged = judge(*steady())
    assert judged.why is None and "nothing" not in str(judged)
    assert judged.lost == 0 and len(judged.calm.delays) == len(judged.storm.delays) == 60 * EACH
    assert judged.storm.percentile(99) / judged.calm.percentile(99) == pytest.approx(1.5, abs=0.05)
    assert judged.calm.cores == pytest.approx(0.1)


def test_a_delay_in_every_hundredth_question_shows():
    judged = judge(*steady(storm_us=300), *[(c, s._replace(delays=[9000.0] * 5 + s.delays[5:])) for c, s in [pair() for _ in range(60)]])
    assert judged.storm.percentile(99) == 9000 and judged.storm.percentile(50) < 400


def test_a_pair_that_lost_a_core_is_left_out_on_both_sides():
    judged = judge(*steady(40), pair(calm_us=90000, storm_us=1, calm_steal=2), pair(storm_us=90000, calm_us=1, storm_steal=1, turned=True))
    assert (judged.pairs, judged.lost, judged.lost_calm, judged.lost_storm) == (42, 2, 1, 1)
    assert len(judged.calm.delays) == len(judged.storm.delays) == 40 * EACH
    assert judged.why is None and judged.storm.percentile(99) < 500 and judged.calm.delays[0] >= 100
    assert "40 of 42 pairs kept (steal in 1 calm, 1 stormy slices)" in str(judged)


def test_too_little_that_is_left_proves_nothing():
    assert judge(*steady(slices.LEAST // EACH)).why is None
    judged = judge(*steady(slices.LEAST // EACH - 1), *[pair(storm_steal=9) for _ in range(50)])
    assert "only 1900 delays of 2000" in judged.why and "this proves nothing" in str(judged)
    assert judge(*[pair(calm_steal=1) for _ in range(50)]).why
    assert judge().why


@pytest.mark.parametrize("side", ["calm", "stormy"])
def test_halves_that_lie_apart_prove_nothing(side):
    uneven = [pair(**{"calm_us" if side == "calm" else "storm_us": 1000.0 if i % 2 else 300.0}) for i in range(60)]
    assert f"the halves of the {side} slices lie" in judge(*uneven).why


def test_a_calm_side_that_is_not_calm_proves_nothing():
    def busy(us):
        return [(c._replace(delays=[us] * 5 + c.delays[5:]), s) for c, s in (pair() for _ in range(60))]
    assert "other things to do" in judge(*busy(slices.CALM * 400.0)).why
    assert judge(*busy(slices.CALM * 100.0)).why is None


def test_a_slice_too_many_is_refused():
    with pytest.raises(ValueError):
        judge(*steady(3), pair()[:1])
    with pytest.raises(ValueError):
        judge([pair()[0], pair()[0]])


@pytest.mark.parametrize("row, ours, ratio, state, words", [
    (("flood", "unknown-kid-new-p99", "without flood"), 900.0, 2.9, bars.KEPT, "<= 3 kept, target 2"),
    (("flood", "unknown-kid-new-p99", "without flood"), 900.0, 2.0, bars.KEPT, "<= 3 kept, target 2 reached"),
    (("flood", "unknown-kid-new-p99", "without flood"), 900.0, 3.1, bars.MISSED, "<= 3 MISSED"),
    (("flood", "bad-signature-known-fetches", "bound"), 1.0, 0.5, bars.KEPT, "<= 1 kept"),
    (("flood", "bad-signature-known-fetches", "bound"), 3.0, 1.5, bars.MISSED, "<= 1 MISSED"),
    (("gateway", "warm-1", "echo prototype"), 1.0, 0.94, bars.MISSED, ">= 0.95 MISSED"),
    (("gateway", "warm-8", "nginx-auth_request"), 1.0, 0.92, bars.KEPT, ">= 0.92 kept, target 1"),
    (("gateway", "warm-128", "nginx-auth_request"), 1.0, 1.2, bars.MISSED, ">= 1.25 MISSED"),
    (("gateway", "warm-32", "envoy-ext_authz"), 1.0, 4.6, bars.KEPT, ">= 4 kept, target 4.5 reached"),
    (("sidecar", "batch-256", "c-core echo"), 499_999, 9.0, bars.MISSED, ">= 500,000 MISSED"),
    (("sidecar", "batch-32", "c-core echo"), 1_600_000, 0.5, bars.KEPT, ">= 500,000 kept, target 1,000,000 reached"),
    (("sidecar", "cold-EdDSA", "bare EVP verify"), 130.0, 1.16, bars.MISSED, "<= 1.15 MISSED"),
    (("sidecar", "memory-100k", "acceptance"), 63.0, 0.98, bars.KEPT, "<= 64 kept, target 48"),
    (("authsvc", "refresh ES256 PostgreSQL", "statements + signatures"), 1.0, 0.79, bars.MISSED, ">= 0.8 MISSED"),
    (("gateway", "warm-1", "nginx-bare"), 1.0, 0.5, None, "target 0.7"),
])
def test_a_row_is_held_to_its_bar(row, ours, ratio, state, words):
    assert bars.judge(bars.find(*row), ours, ratio) == (state, words)


@pytest.mark.parametrize("row", [("gateway", "cpu-8", "echo prototype"), ("gateway", "warm-8", "haproxy-jwt_verify"), ("flood", "unknown-kid-new-p50", "without flood"),
                                 ("sidecar", "batch-1", "c-core echo"), ("scale", "look-up", "x"), ("nonsense", "warm-8", "echo prototype")])
def test_other_rows_have_none(row):
    assert bars.find(*row) is None


@pytest.mark.parametrize("ratio", [1.0, 9.0])
def test_numbers_that_prove_nothing_keep_and_miss_nothing(ratio):
    assert bars.judge(bars.find("flood", "unknown-kid-new-p99", "without flood"), 1.0, ratio, proven=False) == (bars.UNPROVEN, "<= 3 unproven")


ROWS = [["a", bars.KEPT], ["b", bars.MISSED], ["c", bars.UNPROVEN], ["d", bars.KEPT]]


def test_the_end_names_what_was_missed():
    assert bench.summary(ROWS) == "bars: 2 kept, 1 MISSED, 1 unproven\n  MISSED: b\n  unproven: c"
    assert "(quick" in bench.summary(ROWS, quick=True)
    assert json.loads(bench.summary(ROWS, as_json=True)) == {"bars": {"kept": ["a", "d"], "MISSED": ["b"], "unproven": ["c"]}}


@pytest.mark.parametrize("failed, rows, strict, code", [
    (0, ROWS, False, house.PASSED), (0, ROWS, True, house.FAILED), (0, [r for r in ROWS if r[1] != bars.MISSED], True, house.UNDECIDED),
    (0, [["a", bars.KEPT]], True, house.PASSED), (1, [], False, house.FAILED), (None, [], False, house.FAILED),
])
def test_a_strict_run_ends_as_its_bars_do(failed, rows, strict, code):
    assert bench.ended(failed, rows, strict) == code
