"""Schemathesis reads the OpenAPI document of a running server and tries to break what it says."""

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings

from tests.serve.processes import serving
from tests.wires.common import task_file

TRIES = 40
"""Of each operation."""


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with serving("http", task_file(tmp_path_factory.mktemp("tasks")), "--sessions", "50") as (url, _):
        yield url


@pytest.fixture(scope="module")
def api(url):
    return schemathesis.openapi.from_url(f"{url}/openapi.json")


schema = schemathesis.pytest.from_fixture("api")


@schema.parametrize()
@settings(max_examples=TRIES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_every_operation_answers_as_its_document_says(case, url):
    if case.path_parameters and case.body is not None:  # a session that is there, whenever there is room for one
        found = requests.post(f"{url}/sessions", json={}, timeout=60)
        if found.status_code == 201:
            case.path_parameters["session"] = found.json()["session"]
    case.call_and_validate(timeout=60)


def test_the_server_is_still_there(url):
    assert requests.get(f"{url}/health", timeout=60).json()["status"] == "ok"
