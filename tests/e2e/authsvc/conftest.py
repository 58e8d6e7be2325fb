import os

import pytest

from tests.e2e.authsvc.doors import ANNA, DOORS, PASSWORD, document
from tests.support.stack import Authsvc


@pytest.fixture
def store(request):
    """The store's URL: CW_STORE names the database that the tests run on; None is SQLite, a file of its own."""
    return request.getfixturevalue("postgresql").fresh() if os.environ.get("CW_STORE") == "postgresql" else None


@pytest.fixture
def ending(ending, store):
    """As everywhere; and it knows the store, for tests that start their own authsvc (idp_world.py)."""
    ending.store = store
    return ending


@pytest.fixture
def start(directory, ending, store):
    """`start(**changes)` runs authsvc with anna in it."""
    def run(**changes):
        authsvc = Authsvc(directory, document(**changes), store).add_user("clinicwave", ANNA, PASSWORD, "doctor", "auditor")
        return ending(authsvc).start()
    return run


@pytest.fixture
def authsvc(start):
    return start()


@pytest.fixture(params=sorted(DOORS))
def door(request, authsvc):
    return DOORS[request.param](authsvc)
