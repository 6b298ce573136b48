"""Schemathesis reads the OpenAPI document of a running server and tries to break what it says."""

import random

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings

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


def test_every_operation_answers_as_its_document_says(url, api):
    for found in api.get_all_operations():

        @given(case=found.ok().as_strategy())
        @settings(max_examples=TRIES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        def asked(case):
            if case.path_parameters and random.random() < 0.7:  # a session that is there, while there is room for one
                opened = requests.post(f"{url}/sessions", json={}, timeout=60)
                if opened.status_code == 201:
                    case.path_parameters["session"] = opened.json()["session"]
            case.call_and_validate(timeout=60)

        asked()


def test_the_server_is_still_there(url):
    assert requests.get(f"{url}/health", timeout=60).json()["status"] == "ok"
