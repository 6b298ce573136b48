"""How a persona sounds: disposition, opening words, and the names of the people in its world."""

import hashlib
import re
from random import Random

from synthagent.schema.tasks import Disposition

FIRST_NAMES = tuple(
    """
    Ada Alba Amara Anouk Aris Asha Bela Bruno Carys Celia Dario Dilan Edda Eero Elif Emeka Enzo Esra Fadil Farah
    Flora Gita Greta Halima Hanno Ines Ivo Jakub Jamila Joris Kaito Kalani Karin Kofi Lale Leif Lena Linus Luca
    Maeve Magda Malik Mara Mateo Mina Nadia Naoki Nell Nico Odile Olek Omar Oona Orla Pavel Petra Priya Quinn Rafe
    Rania Remy Rosa Ruben Sanna Selim Signe Sofia Stellan Tamar Tariq Thea Tibor Uma Ursa Vera Viggo Wanda Wim Yara
    Yusuf Zeno Zora
    """.split()
)
LAST_NAMES = tuple(
    """
    Abara Adler Almeida Ashdown Bakker Baran Barros Beckett Bergan Bianchi Brandt Calder Castell Cole Cordova Dahl
    Darzi Devlin Draper Dufour Eklund Ellery Fairley Farkas Ferrer Fontaine Garrick Gomes Grady Haddad Halloran
    Hartwell Hollis Ibarra Idris Ishii Jansson Jarvi Kamara Kellner Kimura Koval Lacroix Lindqvist Lowell Maddox
    Marchetti Mensah Morrow Navarro Nilsen Novak Oakes Obi Okoro Orsini Pallas Pereira Petrov Quint Rahimi Rasmussen
    Renner Rhodes Romano Saito Sandoval Sarkis Sheridan Silva Solberg Stroud Takeda Tansley Thorne Tomlin Ustinov
    Vance Varga Vidal Wallis Winther Yilmaz Zeller Zimmer
    """.split()
)

_CUES: tuple[tuple[Disposition, str], ...] = (
    (
        "adversarial",
        r"quarrel|stubborn|litigious|argu|suspicious|defiant|contrary|combative|cunning|bend(?:s|ing)? rules",
    ),
    ("pushy", r"push|impatient|demanding|hurr|rush|insist|bossy|dislikes being kept|short.tempered|pressing|restless"),
    ("terse", r"blunt|brisk|terse|laconic|few words|shy|quiet|taciturn|curt|silent|reserved|to the point"),
    ("cooperative", r"kind|cheerful|patient|polite|chatty|gentle|meticulous|friendly|warm|careful|helpful|courteous"),
)
_SHARES: tuple[tuple[Disposition, float], ...] = (
    ("cooperative", 0.45), ("terse", 0.2), ("pushy", 0.2), ("adversarial", 0.15),
)  # fmt: skip

_OPENERS: dict[Disposition, tuple[str, ...]] = {
    "cooperative": (
        "Hello, I'd like to {asks}, could you help me with that?",
        "Hi there, could you please {asks}?",
        "Good day, I was hoping you could help me {asks}.",
        "Hello, would you be so kind as to help me {asks}?",
        "Hi, I am {who} and I would like to {asks}, please.",
        "Good morning, as {who} I rarely ask, but I need to {asks}.",
        "Hello, I could use a hand: I want to {asks}.",
        "Thank you for being there, I would love to {asks} today.",
    ),
    "terse": (
        "Need to {asks}.",
        "Want to {asks}, please.",
        "I need to {asks}.",
        "Please {asks}.",
        "Looking to {asks}.",
        "{Who} here, need to {asks}.",
    ),
    "pushy": (
        "I need to {asks}, and quickly if you don't mind.",
        "Right, I want to {asks}, and I haven't got all day.",
        "Listen, I have to {asks} as soon as possible.",
        "Please just {asks}, it cannot take long.",
        "I'm {who} and I'm in a hurry, so help me {asks}.",
        "It is about time somebody helped me {asks}.",
    ),
    "adversarial": (
        "I'm told you can {asks}, so do it.",
        "I expect you to {asks} without a long discussion.",
        "You will {asks} for me now, no excuses.",
        "As {who} I know how this works, so {asks}, will you.",
        "Last time nobody could do it, so this time you {asks}.",
        "I have every right to {asks}, so let's get on with it.",
    ),
}

FOLLOW_UPS = (
    "One more thing: I'd also like to {ask}.",
    "While you are at it, please also {ask}.",
    "And now I want to {ask} as well.",
    "Oh, and there is something else, I need to {ask}.",
    "Next, could you {ask}?",
)


def disposition_of(persona: str, random: Random) -> Disposition:
    """From the persona's own words where they tell, else drawn in fixed shares."""
    for disposition, cue in _CUES:
        if re.search(cue, persona, re.I):
            return disposition
    draw = random.random()
    for disposition, share in _SHARES:
        draw -= share
        if draw < 0:
            return disposition
    return "cooperative"


def who(persona: str) -> str:
    """The persona's head phrase: "a retired ferry pilot"; "somebody" when it does not begin with an article."""
    head = re.split(
        r"\s(?:who|whose|with|that|which|from|in|at|on|and|for|known|specialized|focused)\s|[,.;]", persona, maxsplit=1
    )[0]
    return head[0].lower() + head[1:] if re.match(r"(?:an?|the)\s\w", head, re.I) and len(head) < 60 else "somebody"


def own_name(persona: str) -> str:
    """The name this persona goes by, wherever it appears."""
    number = int.from_bytes(hashlib.sha256(persona.encode()).digest()[:8], "big")
    return f"{FIRST_NAMES[number % len(FIRST_NAMES)]} {LAST_NAMES[number // 1000 % len(LAST_NAMES)]}"


def instruction(persona: str, disposition: Disposition, asks: list[str], random: Random) -> str:
    """One sentence that asks for all of it in this persona's voice."""
    joined = asks[0] if len(asks) == 1 else f"{', '.join(asks[:-1])} and {asks[-1]}"
    phrase = who(persona)
    choices = [o for o in _OPENERS[disposition] if phrase != "somebody" or "who}" not in o.lower()]
    opener = random.choice(choices)
    return opener.format(asks=joined, who=phrase, Who=phrase[0].upper() + phrase[1:])
