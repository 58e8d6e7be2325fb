import pytest

from tests.e2e.authsvc.doors import ANNA, DOORS, PASSWORD, document
from tests.support.stack import Authsvc


@pytest.fixture
def start(directory, ending):
    """`start(**changes)` runs authsvc with anna in it."""
    def run(**changes):
        authsvc = Authsvc(directory, document(**changes)).add_user("clinicwave", ANNA, PASSWORD, "doctor", "auditor")
        return ending(authsvc).start()
    return run


@pytest.fixture
def authsvc(start):
    return start()


@pytest.fixture(params=sorted(DOORS))
def door(request, authsvc):
    return DOORS[request.param](authsvc)
