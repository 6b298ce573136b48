"""`asked`: disclosed in reply to a message that asked for it, by what the user heard."""

import asyncio

import pytest

from synthagent.schema.episodes import Limits
from synthagent.simulation.episode import Cast, play
from synthagent.simulation.scripted_agents import Says
from synthagent.simulation.users import UserReply

NAME = {"asked": "name"}


def test_a_fact_that_was_disclosed_unasked_was_not_asked_for(tale):
    tale.tell("Hello!", "I'm Ines Calder.", disclosed=("name",))
    assert not tale.holds(NAME)
    tale.tell("Who are you?", "I'm Ines Calder.", disclosed=("name",), asked=("name",))
    assert tale.found(NAME).events == (1,)


def test_asking_for_one_fact_is_not_asking_for_another(tale):
    assert not tale.tell("Which book?", "The Salt Roads.", asked=("title",)).holds(NAME)


@pytest.mark.parametrize("question", ["What name is on the card?", "Could you tell me your name, please?"])
def test_a_question_in_other_words_is_heard(theatre, question):
    assert theatre.found(NAME, theatre.script(question, "Goodbye.")).holds


@pytest.mark.parametrize("question", ["Please tell me everything.", "Can you give me all the details?", "I'm Ines."])
def test_asking_for_everything_asks_for_nothing(theatre, question):
    played = theatre.script(question, "Goodbye.")
    assert not any(theatre.found({"asked": fact}, played).holds for fact in ("name", "title", "until"))


def test_under_the_tools_protocol_questions_go_through_ask_user(theatre):
    played = theatre.script("What name is on the card?", "Goodbye.", protocol="tools")
    assert theatre.found(NAME, played).holds
    played = theatre.script("What name is on the card?", protocol="tools")
    assert not theatre.found(NAME, played).holds, "the last word gets no answer"


def test_several_at_once_are_answered_two_at_a_time(theatre):
    played = theatre.script("What is your name? Which book is it? Until when?", "Goodbye.")
    held = [theatre.found({"asked": fact}, played).holds for fact in ("name", "title", "until")]
    assert held == [True, True, False]


def test_a_request_that_was_revealed_counts_as_asked(theatre):
    hidden = theatre.stage.task.hidden.model_validate(
        {"goal": "Both.", "requests": [{"id": "request_2", "text": "One more thing: I'd like to pay."}]}
    )
    other = theatre.other(hidden=hidden)
    assert other.found({"asked": "request_2"}, other.script("Done, it is renewed.", "Done.")).holds
    assert not other.found(
        {"asked": "request_2"}, other.script("One moment.", "I have looked.", limits=Limits(turns=2))
    ).holds


def test_what_a_users_model_gives_away_unasked_is_recorded_as_disclosed_only(theatre):
    class Blurting:
        name = "blurting"

        async def reply(self, message):
            return UserReply("I'm Ines Calder. Bye.", "other", disclosed=("name",), done=True)

    played = asyncio.run(play(theatre.stage, Cast(Says("says", "Hello!"), Blurting()), Limits()))
    assert played.episode.events[-1].disclosed == ("name",)
    assert not theatre.found(NAME, played).holds
