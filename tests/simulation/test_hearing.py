"""What the user takes from a message: a question for which facts, a confirmation, a refusal, a claim, or nothing."""

import pytest

from synthagent.schema.tasks import Fact, Hidden
from synthagent.simulation.hearing import MOST_FACTS, Heard, Listener
from tests.builders import library


@pytest.fixture(scope="module")
def ears() -> Listener:
    return Listener(library().hidden)


@pytest.mark.parametrize(
    ("message", "topics"),
    [
        ("What is your name?", ("name",)),
        ("Could I have your name, please", ("name",)),
        ("Please tell me your name.", ("name",)),
        ("Who are you?", ("name",)),
        ("Which book is it?", ("title",)),
        ("What's the title of the book?", ("title",)),
        ("Until when do you want to keep it?", ("until",)),
        ("And the new due date?", ("until",)),
        ("For how long?", ("until",)),
        ("Which book is it, and what is your name?", ("title", "name")),
        ("I need:\n- your name\n- the new due date", ("name", "until")),
        ("Your name, the title of the book and the new due date, please?", ("name", "title")),
        ("I found the loans. Which book do you mean?", ("title",)),
        ("I cannot find you. What is your name?", ("name",)),
        ("Please confirm your name.", ("name",)),
        ("May I have your name? Shall I go ahead then?", ("name",)),
        ("Let me know **your name**.", ("name",)),
    ],
)
def test_a_question_is_for_the_facts_whose_words_it_uses_in_the_order_asked(ears, message, topics):
    heard = ears.heard(message)
    assert (heard.kind, heard.topics) == ("question", topics)
    assert len(topics) <= MOST_FACTS
    assert not heard.refuses
    assert not heard.claims


@pytest.mark.parametrize(
    "message",
    [
        "Tell me everything.",
        "Please tell me everything you know.",
        "Give me all the details you have, please.",
        "What do you want?",
        "How can I help you?",
        "What is your shoe size?",
        "Why?",
        "Please provide all required information.",
    ],
)
def test_a_question_for_everything_or_for_something_else_matches_nothing(ears, message):
    heard = ears.heard(message)
    assert (heard.kind, heard.topics) == ("question", ())


@pytest.mark.parametrize(
    "message", ["Your name is on the list.", "I look up the book by its title.", "The due date is in May.", "", "Hm."]
)
def test_words_of_a_topic_that_ask_nothing_ask_nothing(ears, message):
    assert ears.heard(message).topics == ()
    assert ears.heard(message).kind == "other"


@pytest.mark.parametrize(
    ("message", "named", "wrong", "related"),
    [
        ("Shall I renew The Glass Harbour until 23 May?", ("title", "until"), (), True),
        ("I will renew 'The Glass Harbour' until 2031-05-23. Is that correct?", ("title", "until"), (), True),
        ("The Glass Harbour, right?", ("title",), (), True),
        ("Do you want to go ahead?", (), (), True),
        ("Shall I renew The Glass Harbour until 24 May?", ("title",), ("until",), True),
        ("Shall I renew the book 'Night Ferry' until 23 May?", ("until",), ("title",), True),
        ("Would you like me to order a pizza?", (), (), False),
        ("You are Ada Novak?", ("name",), (), True),
    ],
)
def test_a_confirmation_names_values_right_or_wrong_or_is_about_something_else(ears, message, named, wrong, related):
    heard = ears.heard(message)
    assert (heard.kind, heard.topics) == ("confirmation", ())
    assert (heard.named, heard.wrong, heard.related) == (named, wrong, related)


@pytest.mark.parametrize(
    "message",
    [
        "I'm sorry, I can't do that.",
        "Unfortunately this book is not possible to renew.",
        "The rules do not allow me to renew it.",
        "I am not allowed to do this.",
        "I must decline.",
        "There is no tool for that.",
        "I won’t be able to renew it, because it is reserved.",
    ],
)
def test_a_refusal_is_heard_as_one(ears, message):
    assert ears.heard(message) == Heard("refusal", (), (), refuses=True)


@pytest.mark.parametrize(
    "message",
    ["I can't find any member of that name.", "I cannot go on without your help.", "I can't say until I have looked."],
)
def test_a_failed_look_up_or_a_wait_is_no_refusal(ears, message):
    assert not ears.heard(message).refuses


@pytest.mark.parametrize(
    "message",
    [
        "Done, your loan is renewed.",
        "Your loan has been renewed.",
        "I have renewed your loan.",
        "All set!",
        "Is there anything else I can do for you?",
        "You're welcome, goodbye.",
    ],
)
def test_a_claim_that_all_is_done_is_heard_as_one(ears, message):
    heard = ears.heard(message)
    assert (heard.kind, heard.claims) == ("claim_done", True)


@pytest.mark.parametrize("message", ["I have found two loans.", "Nothing has yet been changed.", "I will renew it now.",
                                     "I have your details.", "It can be renewed."])  # fmt: skip
def test_looking_and_promising_is_not_claiming(ears, message):
    heard = ears.heard(message)
    assert (heard.kind, heard.claims) == ("other", False)


def test_the_one_fact_of_its_kind_can_be_asked_for_by_its_kind():
    dated = Fact(id="start", topic="beginning of the course", text="On 3 June.", value="2031-06-03")
    counted = Fact(id="places", topic="people coming along", text="Four.", value=4)
    alone = Listener(Hidden(goal="I want places in a course.", facts=(dated, counted)))
    assert alone.heard("What date?").topics == ("start",)
    assert alone.heard("How many people?").topics == ("places",)
    two = Listener(Hidden(goal="", facts=(dated, dated.model_copy(update={"id": "end", "topic": "end of the trip"}))))
    assert two.heard("What date?").topics == ()


def test_facts_with_words_in_common_are_told_apart_by_the_others():
    home = Fact(id="home", topic="home address", text="1 Quay Lane.", value="1 Quay Lane")
    work = Fact(id="work", topic="work address", text="2 Hill Road.", value="2 Hill Road")
    ears = Listener(Hidden(goal="I moved.", facts=(home, work)))
    assert ears.heard("What is your work address?").topics == ("work",)
    assert ears.heard("What is your home address, and your work address?").topics == ("home", "work")
