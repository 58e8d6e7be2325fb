"""`kill -9` at random moments under load, a few times; `./dev bench kill` does it hundreds of times."""
import pytest

from tests.e2e.authsvc import ledger

ROUNDS = 10


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_nothing_that_was_acknowledged_is_lost_and_no_token_is_redeemed_twice(directory, store):
    killing = {"sqlite": ledger.killing_on_sqlite, "postgresql": ledger.killing_on_postgresql}[store]
    acknowledged, _ = killing(directory, ROUNDS)
    assert acknowledged > 5 * ROUNDS, "there was load"


def test_the_ledger_notices_a_lost_write(directory, monkeypatch):
    """Its negative twin: a database that is put back to an earlier state."""
    monkeypatch.setattr(ledger, "QUERY", "SELECT session_id, generation - 1 FROM refresh_family WHERE generation > 0")
    with pytest.raises(ledger.Broken):
        ledger.killing_on_sqlite(directory, 2)
