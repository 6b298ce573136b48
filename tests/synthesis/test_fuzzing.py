"""What a draft of the user's secrets gets wrong plainly is put right; what it gives away is not."""

import copy

from synthagent.synthesis.fuzzing import FuzzDraft, faults, fuzzed, mended
from synthagent.synthesis.scenario import Scenario, whole_request
from tests import teachers

SCENARIO = Scenario.model_validate(teachers.SCENARIO)


def draft(**changes) -> FuzzDraft:
    found = copy.deepcopy(teachers.FUZZ)
    for number, change in changes.items():
        found["facts"][int(number[1:])].update(change)
    return FuzzDraft.model_validate(found)


def facts(found: FuzzDraft) -> dict:
    return {fact.id: fact for fact in found.facts}


def test_a_good_draft_stays_as_it_is():
    assert mended(draft(), SCENARIO) == draft()
    assert list(faults(draft(), ["extend_loan"], [])) == []


def test_a_fact_that_was_made_up_goes():
    found = facts(mended(draft(_1={"id": "shelf", "value": "shelf 12", "text": "It's shelf 12."}), SCENARIO))
    assert "shelf" not in found
    assert found["seeds"].value == "Blue Lake Bean", "the scenario lists it, so it comes back"


def test_a_fact_that_does_not_say_its_value_or_says_anothers_is_said_plainly():
    found = facts(
        mended(draft(_1={"text": "those beans"}, _2={"text": "Until 2031-06-20, says Ines Calder."}), SCENARIO)
    )
    assert found["seeds"].text == "It's Blue Lake Bean."
    assert found["until"].text == "It's 2031-06-20."


def test_a_topic_that_gives_the_value_away_is_called_by_its_id():
    assert facts(mended(draft(_1={"topic": "Blue Lake Bean seeds"}), SCENARIO))["seeds"].topic == "seeds"


def test_what_the_draft_forgot_and_the_scenario_lists_is_a_fact_too():
    short = FuzzDraft.model_validate({**teachers.FUZZ, "facts": teachers.FUZZ["facts"][:1]})
    found = mended(short, SCENARIO)
    assert [fact.id for fact in found.facts] == ["member_name", "seeds", "new_return_date"]
    assert [fact.value for fact in fuzzed(found, "terse").hidden.facts] == [
        "Ines Calder",
        "Blue Lake Bean",
        "2031-06-20",
    ]


def test_an_instruction_that_leaks_is_a_fault_and_not_mended():
    leaking = draft().model_copy(update={"instruction": "I'm Ines Calder, extend_loan please, till 20 June."})
    found = list(faults(mended(leaking, SCENARIO), ["extend_loan"], []))
    assert any("member_name" in fault for fault in found)
    assert any("until" in fault for fault in found)
    assert any("names the tool extend_loan" in fault for fault in found)


def test_ways_of_asking_that_tell_the_answer_are_left_out():
    telling = draft(_1={"aliases": ["which seeds", "is it Blue Lake Bean"]})
    assert fuzzed(telling, "terse").hidden.facts[1].aliases == ("which seeds",)


def test_a_request_says_whatever_its_author_listed():
    bare = SCENARIO.model_copy(update={"request": "Please extend the loan of my seeds."})
    assert whole_request(bare) == (
        "I am Ines Calder. Please extend the loan of my seeds. The seeds is Blue Lake Bean. "
        "The new return date is 2031-06-20."
    )
    assert whole_request(SCENARIO) == " ".join(SCENARIO.request.split())
