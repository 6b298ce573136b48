"""The words by which `heard` tells a question from a confirmation, a refusal and a claim. Data, no logic.

All in lower case: a message is put into it first, which makes these patterns several times faster than ignoring case.
"""

import re


def _cues(*patterns: str, whole: tuple[str, ...] = ()) -> re.Pattern[str]:
    """Any of the patterns as whole words, or any of `whole` as it stands."""
    words = rf"\b(?:{'|'.join(patterns)})\b"
    return re.compile("|".join((words, *whole)))


_QUESTION = "what|which|who|whose|whom|where|when|how (?:many|much|long|old|often|big|far|large)"
_TELL = (
    "|".join(
        """
    tell give provide share specify state enter send confirm advise indicate name supply include choose pick select list
    """.split()
    )
    + "|let me know|fill in"
)
_NO_REQUEST = "wait|hold|bear|note|be|allow|excuse|bring|come|pardon|don|do not|keep|rest|make|check|see|consider|stay"
_MILDLY = "(?: also| just| still| first| only| now| really| simply)*"
ASKS = _cues(
    rf"(?:please|kindly) (?:also |just )?(?:{_TELL})",
    "(?:tell|give|provide|send) me",
    "let me know",
    rf"(?:please|kindly) (?:also |just |first )?(?!{_NO_REQUEST})[a-z]+ ?(?:in|out|up|back|down|with|off)? "
    r"(?:(?:with|me|us|by|to) )*"
    "(?:your|the|a|an|which|what|when|who|where|how|whose|both|all|each|these|those|yourself)",
    "(?:please|kindly) [a-z]+ (?:it|that) (?:here|below|in)",
    "let (?:us|me) have",
    rf"(?:i|we){_MILDLY} (?:must|have to|need to|should) [a-z]+ (?:what|which|how|when|where|who|your)",
    "provide (?:your|the|a|me)",
    "share your",
    rf"(?:i|we)(?: will|'ll|'d| would)?{_MILDLY} (?:need|require)",
    "(?:may|can|could|might) i (?:please )?(?:have|get|ask|know|take)",
    "(?:could|can|would|will) you",
    "i'd like to know",
    "(?:i|we) (?:want to|would like to|have to|must|need to|should) (?:know|ask|check)",
    whole=(
        rf"\b(?:{_QUESTION})\b[^.]{{0,80}}\?",
        rf"^\W*(?:(?:and|so|also|for|by|in|from|to|until|on|at) )*(?:{_QUESTION})\b[^.!]*$",
        # Words and what parts them share no letter: there is one way to read a text, however long its words are.
        r"^[^\w.,'-]*[\w.,'-]+(?:[^\w.,'-]+[\w.,'-]+){0,5},? please\W*$",
    ),
)
"""A sentence that asks even without a question mark."""

_FINE = "right|correct|ok|okay|fine|alright|good|accurate|acceptable"
_THIS = "that|this|these|those|it|everything|all of that|all of this|the details"
CONFIRMS = _cues(
    "(?:shall|should) (?:i|we)",
    "(?:would you like|do you want|would you want|do you wish) (?:me|us) to",
    "would you like to (?:proceed|go ahead|continue)",
    "(?:may|can|could) i (?:go ahead|proceed)",
    rf"(?:is|are) (?:{_THIS}) (?:all )?(?:{_FINE})",
    rf"(?:does|do) (?:{_THIS}) (?:look|work|sound|suit)",
    "do i have your",
    "do you (?:agree|confirm|approve|consent|accept)",
    "are you (?:happy|ok|okay|fine|sure|certain|ready)",
    "ok(?:ay)? (?:to|if i|for me to)",
    "go ahead (?:with|and)",
    "(?:ready|happy) for me to",
    "want to (?:go ahead|proceed)",
    "can you (?:please )?confirm (?:that|this|you)",
    "(?:please )?confirm (?:that|this|you(?:'d| would| want)|if|so i can)",
    "yes or no",
    r"reply (?:with )?\W?yes",
    rf"if (?:that|this)(?: is|'s) (?:{_FINE})",
    whole=(r",\s*(?:right|correct|ok|okay|yes)\s*\?", r"\b(?:correct|right)\?\s*$"),
)
"""A request for a yes."""

CONFIRMS_WEAKLY = _cues("confirm", "double.?check", "verify")
"""A request for a yes if it names a value, else a question ("please confirm your name")."""

CHOICE = _cues("what", "which", "who", "whose", "when", "where", "how", "or")

CLOSES = _cues(
    "(?:anything|something) (?:else|more|further|other)",
    "further (?:help|assistance|questions|requests)",
    "other (?:questions|requests)",
    "have a (?:nice|great|good|wonderful|lovely|pleasant)",
    "good ?bye",
    "you(?:'re| are) (?:very |most )?welcome",
    "what else (?:can|could|may) i",
    "is that (?:all|everything)",
)

_ALLOWED = "allowed|permitted|possible|authori[sz]ed|eligible"
_MEANS = "tool|way|means|option|function|possibility"
_LAW = "rules?|polic(?:y|ies)|restrictions?|guidelines?"
REFUSES = _cues(
    "can't|cannot|can not|unable to|not able to|can no longer",
    "(?:won't|will not|not going to) be (?:able|possible)",
    rf"(?:am|is|are|'m|'s|'re) not (?:{_ALLOWED}|available for me|something i can)",
    rf"(?:isn't|aren't) (?:{_ALLOWED}|available|something i can)",
    "impossible|no longer possible",
    "(?:must|have to|need to|i|i'll|will) (?:decline|refuse)",
    "decline (?:to|this|that|your)",
    rf"against (?:the|our|my) (?:{_LAW})",
    rf"no (?:{_MEANS}) (?:for|to|that|here|available)",
    rf"(?:do not|don't) have (?:a|any|the) (?:{_MEANS}|ability|permission|authority)",
    "(?:beyond|outside)(?: of)? (?:what i|my)",
    rf"(?:{_LAW}) (?:do not|don't|does not|doesn't|prohibits?|forbids?|prevents?|stops?)",
    "(?:prohibits?|forbids?|prevents?) me",
    "(?:is|are) (?:forbidden|prohibited)",
    "(?:i|we) (?:may|must|should) not|(?:i|we) mustn't",
    "(?:has|have|had) to be (?:refused|declined|turned down)",
    "won't (?:do|be doing)",
)

_LOOKING = (
    "|".join(
        """
    find found locate see identify verify tell determine understand read recogni[sz]e match confirm check look
    """.split()
    )
    + "|make out"
)
_KNOWING = "know|have|give|tell"
NOT_REFUSED = re.compile(
    rf"\s*(?:to )?(?:{_LOOKING})\b"
    rf"|[^.!?\n]{{0,60}}\b(?:without (?:your|the|knowing|more|a|first)|until (?:i|you|we)"
    rf"|unless (?:i|you|we) (?:{_KNOWING})|before (?:i|you) (?:know|tell|give|have (?:told|given)))\b",
)
"""What follows a cue of refusal and takes it back: a failed look-up, or a wait for an answer."""

_DEED = "|".join(
    """
    booked renewed cancelled canceled updated changed scheduled ordered reserved added removed moved registered
    submitted placed sent
    """.split()
)
DONE = _cues(
    "all (?:set|done|sorted|taken care of|good)",
    "(?<!be )(?<!get )(?<!get it )done",
    "(?<!be )completed?",
    "successful(?:ly)?",
    "taken care of",
    "went through",
    "(?:is|are) (?:now|all)",
    "(?:has|have) (?:now |all |just |both )?been",
    r"(?:i|we)(?: have|'ve)(?: now| just| also| already)* \w+",
    "finali[sz]ed",
    "(?<!be )transferred",
    "handed (?:you|this|it)",
    rf"(?<!be )(?:{_DEED}|confirmed|recorded) (?:for|to|it|your|the|on|as|in)",
    rf"(?:was|were) (?:{_DEED}|made|created|set)",
    whole=(r"^\s*yes\b",),
)

_FOUND = "|".join(
    """
    found looked checked located seen noted understood received got read reviewed pulled verified identified
    retrieved opened asked
    """.split()
)
LOOKED = re.compile(
    r"\b(?:not|never|n't|no) (?:yet )?been\b"
    rf"|\b(?:i|we)(?: have|'ve)(?: now| just| also| already)* "
    rf"(?:{_FOUND}|(?:a|the|your|to|one|two|some|several) |been (?:told|asked))",
)
"""A perfect tense that tells of looking, not of doing."""

STOP = frozenset(
    """
    the a an of your you i me my is are was were to for in on at do does did would could can please like want need
    with and or it its this that these those be been have has had will shall may might should so if as by from about
    into up out there here then them they he she we us our their his her him am just also any some more first let
    know tell giv provid shar specify confirm give provide share ask get got help thank thanks okay ok sure great
    sorry s re ve ll d m t don name's exactly exact precis kind kindly mind could go look make tak see one hello hi
    sir madam dear now still before after able order speak than too very much well such put set use say mean hav
    think want wish prefer lik favour desir desire would rather requir enter stat state suppl indicate indic advis
    advise continu continue proceed process assist request find fetch check start begin happy glad good right
    correct thing detail information info follow possibl only each every all both own wonder care else something
    anything regard
    """.split()
)

WEAK: dict[str, float] = {
    "what": 0.3, "which": 0.3, "when": 0.4, "who": 0.4, "whose": 0.4, "whom": 0.4, "where": 0.4, "how": 0.4,
    "many": 0.4,
    "long": 0.4, "until": 0.4, "much": 0.4, "new": 0.3, "numb": 0.4, "number": 0.4,
}  # fmt: skip
"""Words that ask but hardly say for what."""

ANNOUNCES = _cues("need|missing|details|information|know|questions?|points|things|following|ones|items|with|open|left")
"""What announces a list of requests."""

POLAR = re.compile(
    r"(?:(?:and|so|but|also|ok|okay|sorry|well|just|oh),? )*"
    r"(?:(?:do|does|did|have|has|are|is|was|were|will|would|had)(?:n't)? "
    r"(?:you|your|it|there|that|this|these|the|any|i|we)\b"
    r"(?!.*\b(?:which|what|who|when|where|whose|how|why)\b)"
    r"(?! (?:have|know|tell|give|please|share|mind|remember|happen|let|kindly|provide|be so|confirm|by chance)))"
    r"|(?:is|are|was|were) there\b|would you like to (?:hear|see|know|learn)\b",
)
"""A question for yes or no. "Do you have your card number?" is none: it asks for the number."""

IDIOMS = _cues(
    "up.to.date",
    "date of (?:birth|issue|expiry)",
    "(?:at )?any ?time",
    "(?:this|last|next|first|every|one more|each) time",
    "all the time|in time|on time",
    r"names? of (?=(?:the|your|that|a) (?!(?:\w+ )?(?:member|patient|customer|client|tenant|guest|owner|holder|person"
    r"|student|candidate|resident|applicant|caller|account|subscriber|renter)))",
    "some ?day|one day|these days|nowadays|today|to ?day",
    "by the way|in any case|of course",
    "one moment|a moment|a second|a minute",
    "number of things|couple of things|(?:two|three|a few|some) (?:things|details|points|questions)",
    "(?:one|two) (?:more )?(?:thing|detail|question)s?",
)
"""Words that look like topics and are none."""

_DATES, _COUNTS = {"date", "datetime"}, {"number"}
_PERSONS = "people|persons?|guests?|participants|children|pupils|adults"
CONCEPTS: dict[str, tuple[re.Pattern[str] | None, re.Pattern[str], set[str]]] = {
    "name": (
        _cues("name"),
        _cues("names?"),
        {"text"},
    ),
    "self": (
        _cues("who am i (?:speaking|talking|helping)|who are you"),
        _cues(
            "who(?:m)? am i|who(?:m)? do i have|(?:speaking|talking|chatting|dealing) (?:with|to)|introduce yourself"
            "|who you are|who are you|what are you called|your (?:full |first |last |own )*name|you are"
            "|first (?:name )?and (?:last name|surname)|full name|who is (?:calling|asking|writing)"
        ),
        {"text"},
    ),
    "person": (
        _cues("sender|recipient|teacher|trainer|driver|doctor|friend|neighbou?r|visitor|subtenant|person|who"),
        _cues("who(?!se)|whom"),
        {"text"},
    ),
    "date": (None, _cues("when|dates?|days?|how soon|weekday"), _DATES),
    "time": (None, _cues("when|times?|hours?|o'?clock|how (?:early|late)"), {"time", "datetime"}),
    "people": (
        _cues(
            "people|persons?|guests?|group|party|participants|children|pupils|adults|visitors|friends|how many of you"
        ),
        _cues(
            rf"how many (?:of you|heads?|will|are|in|{_PERSONS})",
            "head ?count|size|how large|how big|party",
            rf"number of (?:{_PERSONS})",
        ),
        _COUNTS,
    ),
    "span": (
        _cues("nights?|days|weeks?|months?|hours?|how long|length|duration|supply|until"),
        _cues(
            "how long|how many (?:more )?(?:nights?|days|weeks?|months?|hours?)|(?:what|which) (?:period|length)|until"
        ),
        _COUNTS | _DATES,
    ),
    "count": (_cues("how many|number of|quantity|copies|pieces"), _cues("how many|number of|quantity"), _COUNTS),
    "amount": (_cues("amount|sum|how much|price|budget"), _cues("how much|amount|sum"), _COUNTS),
    "manner": (
        _cues("way|method|means|how|delivery|payment|channel|format|form"),
        _cues(
            "how (?:do|shall|should|would|will|can|may|are|is|did)",
            "(?:which|what) (?:way|form|format|manner|method|means|channel)",
            "ways?|method|means",
        ),
        {"text"},
    ),
    "phone": (
        _cues("phone|telephone|mobile"),
        _cues("phone|telephone|mobile|cell|(?:call|reach|ring) you|number (?:to|we|i|you)"),
        {"text", "number"},
    ),
    "code": (
        _cues("reference|code|number|id|voucher|card"),
        _cues("reference|codes?|numbers?|id|identifier"),
        {"text", "number"},
    ),
    "reason": (
        _cues("reason|purpose|about|problem|complaint|fault|issue|symptom|damage|what for"),
        _cues("why|reasons?|purpose|about|what for|wrong|the matter|what happened|brings? you|trouble|problem"),
        {"text"},
    ),
    "place": (
        _cues("place|branch|where|address|location|station|site|hospital|spot|venue"),
        _cues("where|location|address|spot|site|place"),
        {"text"},
    ),
}
"""Concept -> (what a fact's topic says, what a question says, kinds of value), for other words than the topic's."""

VAGUE = {"date", "time", "name", "count", "code"}
"""Concepts that say so little that the rest of the sentence has to be about the task too."""

ASKED_KINDS: tuple[tuple[re.Pattern[str], set[str]], ...] = (
    (_cues("what time|which time|what hour|which hour|o'?clock|how (?:early|late)"), {"time", "datetime"}),
    (_cues("(?:what|which) (?:date|day)"), _DATES),
    (_cues("how many (?:nights?|days|weeks?|months?|hours?)"), {"number", "span"}),
    (_cues("how many"), {"number"}),
    (_cues("how much"), {"number", "amount"}),
    (_cues("how long|until when"), {"number", "date", "span"}),
    (_cues("when"), _DATES | {"time"}),
    (_cues("who|whom"), {"text"}),
    (_cues("where"), {"place"}),
    (_cues("why"), {"reason"}),
)
"""Question word -> the kinds of value, or the concepts, that can answer it."""

_OTHERS = "friend|neighbou?r|relative|guest|company|partner|colleague|participant|teacher|trainer|doctor|author"
ASIDE: tuple[tuple[re.Pattern[str], re.Pattern[str]], ...] = tuple(
    (_cues(said), _cues(known))
    for said, known in (
        (
            "original(?:ly)?|currently|current|at present|at the moment|right now|previous(?:ly)?|old|so far"
            "|used to|before (?:this|that|the)|first notice|last (?:time|used|known)|supposed to",
            "original(?:ly)?|currently|current|at present|present|previous|old|so far|return(?:ing|ed)?|hold"
            "|own(?:ed)?|bought|give up|swap|exchange",
        ),
        ("(?:when|(?:what|which) (?:date|day)) (?:was|were|did|has|have)", "was|were|did|since|bought|happened"),
        ("e-?mail", "e-?mail"),
        ("(?:postal|home|street|billing|mailing|delivery|current|your) address|postcode|postal code|zip", "address"),
        ("date of birth|birth ?da(?:y|te)|when were you born|born", "birth|born|age|old"),
        (
            r"number (?:of|on|from|printed on) (?:your|the) [\w ]*"
            "(?:card|ticket|contract|letter|account|reservation|booking)"
            r"|(?:card|ticket|contract|account|member(?:ship)?|client|customer|student|booking|reservation|order|invoice"
            r"|tracking|confirmation|reference|serial|licen[cs]e) (?:number|no|code|id)",
            r"\w+ (?:number|no|code|id)(?! of)|number (?:on|printed|at|from|of the|of your)|code|reference|identifier"
            "|digits",
        ),
        ("last name|first name|full name|surname|your name", "name|who"),
        ("phone|telephone|mobile", "phone|telephone|mobile|call|reach|contact"),
        (
            "why|what for|reasons?",
            "why|what for|reason|purpose|about|problem|matter|wrong|occasion|fault|symptom|trouble",
        ),
        ("who(?:m)?", "who|names?|person|sender|pet|animal|patient|friend|guest|trainer|teacher|owner"),
        ("names?", "in_words"),
        (rf"(?:{_OTHERS})(?:s|'s|s')? names?|names? of (?:the|your|that) (?:{_OTHERS})s?", rf"(?:{_OTHERS})s?"),
        (r"(?:is|be) (?:the |your )?(?:\w+ )?about", "in_words"),
        ("numbers?(?! of (?!your|the|a))", "in_digits"),
        ("heavy|weighs?|weights?|dimensions", "heavy|weigh|weight|dimensions"),
        ("how many times|how often", "times|often"),
        ("colou?rs?", "colou?r"),
        ("pin|password", "pin|password"),
        ("food|eat|meals?", "food|eat|meals?|feed|dish|allerg(?:y|ic)|ingredient|diet|menu"),
        (
            "how much (?:rent|money|does|did|do|will|would|is|was|were)|price|cost|fee is",
            "price|cost|amount|fees?|sum|value|worth|money|pay",
        ),
        ("who wrote|author|who sold|who told", "author|wrote|sold|told"),
    )
)
"""(what a question says, what a fact must then say): else it asks for something that the fact is not.

A fact says its topic, its aliases, and `in_words` or `in_digits` for its value.
"""

SYNONYMS: dict[str, str] = {
    "reservation": "reserv", "reservations": "reserv", "booking": "reserv", "bookings": "reserv", "apartment": "flat",
    "drug": "medicin", "medication": "medicin", "medicament": "medicin", "prescript": "medicin",
    "prescription": "medicin", "class": "cours", "visit": "appointment", "spot": "space", "animal": "pet",
    "method": "way", "means": "way", "document": "certificat", "locat": "place", "location": "place",
    "ride": "transfer", "bicycl": "bike", "person": "people", "guest": "people", "begin": "start", "commenc": "start",
    "ident": "id", "depart": "leav", "quit": "leav", "surnam": "name", "surname": "name", "fullnam": "name",
    "mobil": "phone", "telephon": "phone", "cell": "phone", "mail": "email", "sum": "amount", "cost": "price",
    "weekday": "day", "calendar": "date", "clock": "time", "oclock": "time", "addr": "address", "identifi": "id",
    "identif": "id", "identification": "id", "identity": "id", "colour": "color", "cellphon": "phone",
    "motive": "reason", "why": "reason", "caus": "reason", "length": "long", "durat": "long", "larg": "size",
    "big": "size", "reference": "referenc", "ref": "referenc", "num": "number", "quantity": "many",
    "quantiti": "many",
}  # fmt: skip
"""Stem -> stem: words that ask for the same."""
