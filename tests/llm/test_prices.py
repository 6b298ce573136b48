"""Whose price counts."""

import subprocess
import sys

import pytest

from synthagent.config import Price
from synthagent.llm.prices import price_of
from synthagent.schema.messages import Usage

OWN = {"vendor/clever-1": Price(input=1, output=2), "plain": Price(input=3, output=4)}


def test_the_users_own_price_comes_first_by_the_whole_name_or_its_last_part():
    assert price_of("vendor/clever-1", OWN) == OWN["vendor/clever-1"]
    assert price_of("some/where/plain", OWN) == OWN["plain"]


def test_a_model_that_nobody_knows_has_no_price():
    assert price_of("a-model-of-my-own-7b", {}) is None


def test_a_price_is_for_a_million_tokens():
    assert Price(input=2, output=10).of(Usage(prompt=500_000, completion=100_000)) == pytest.approx(2.0)


def test_the_price_list_is_asked_where_it_is_installed():
    pytest.importorskip("genai_prices")
    found = price_of("gpt-4o", {})
    assert found is not None
    assert 0 < found.input < found.output


def test_a_model_that_is_not_priced_by_the_token_is_not_free():
    pytest.importorskip("genai_prices")
    assert price_of("mistral-ocr-latest", {}) is None


def test_no_price_is_looked_up_on_the_network():
    pytest.importorskip("genai_prices")
    program = """
import sys
def heard(event, _):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        raise SystemExit(f"it asked the network: {event}")
sys.addaudithook(heard)
from synthagent.llm.prices import price_of
assert price_of("gpt-4o", {}) is not None
assert price_of("a-model-of-my-own-7b", {}) is None
"""
    subprocess.run([sys.executable, "-c", program], check=True)
