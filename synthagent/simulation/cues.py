"""The words by which `heard` tells a question from a confirmation, a refusal and a claim. Data, no logic."""

import re

ASKS = re.compile(
    r"\b(?:please (?:also )?(?:tell|give|provide|share|specify|state|enter|send|confirm|let me know|advise|indicate|name|supply|include)"
    r"|(?:tell|give|provide|send) me|let me know|provide (?:your|the|a|me)|(?:i|we)(?: will|'ll|'d| would)?(?: also| just| still| first)* (?:need|require)"
    r"|(?:may|can|could|might) i (?:please )?(?:have|get|ask|know|take)|(?:could|can|would|will) you|i'd like to know|share (?:your|the)"
    r"|i (?:want|would like|have) to (?:know|ask)|(?:what|which|who|whose|whom|where|when|how (?:many|much|long|old|often|big|far))\b[^.]{0,80}\?)",
    re.I,
)
"""A sentence that asks even without a question mark."""

CONFIRMS = re.compile(
    r"\b(?:shall i|shall we|should i|should we|would you like me to|would you like to (?:proceed|go ahead|continue)|do you want me to|may i (?:go ahead|proceed)"
    r"|can i (?:go ahead|proceed)|(?:is|are) (?:that|this|these|those|it|everything|all of that|the details) (?:all )?(?:right|correct|ok|okay|fine|alright|good|accurate)"
    r"|(?:does|do) (?:that|this|these|it|everything) (?:look|work|sound|suit)|do i have your|do you (?:agree|confirm|approve|consent|accept)|are you (?:happy|ok|okay|fine|sure|certain|ready)"
    r"|ok(?:ay)? (?:to|if i|for me to)|go ahead (?:with|and)|ready for me to|happy for me to|want to (?:go ahead|proceed)|can you (?:please )?confirm (?:that|this|you)"
    r"|(?:please )?confirm (?:that|this|you(?:'d| would| want)|if|so i can)|yes or no|reply (?:with )?\W?yes|if (?:that|this)(?: is|'s) (?:right|correct|ok|okay|fine))\b"
    r"|,\s*(?:right|correct|ok|okay|yes)\s*\?|\b(?:correct|right)\?\s*$",
    re.I,
)
"""A request for a yes."""

CONFIRMS_WEAKLY = re.compile(r"\b(?:confirm|double.?check|verify)\b", re.I)
"""A request for a yes if it names a value, else a question ("please confirm your name")."""

CHOICE = re.compile(r"\b(?:what|which|who|whose|when|where|how)\b|\bor\b", re.I)

CLOSES = re.compile(
    r"\b(?:anything|something) (?:else|more|further|other)\b|\bfurther (?:help|assistance|questions|requests)\b|\bother (?:questions|requests)\b"
    r"|\bhave a (?:nice|great|good|wonderful|lovely|pleasant)\b|\bgood ?bye\b|\byou(?:'re| are) (?:very |most )?welcome\b|\bwhat else (?:can|could|may) i\b"
    r"|\bis that (?:all|everything)\b",
    re.I,
)

_VERBS_OF_LOOKING = "find|found|locate|see|identify|verify|tell|determine|understand|read|recogni[sz]e|make out|match|confirm|check|look"
REFUSES = re.compile(
    r"\b(?:can't|cannot|can not|unable to|not able to|won't be able to|will not be able to|can no longer"
    r"|(?:am|is|are|'m|'s|'re)(?: not|n't) (?:allowed|permitted|possible|authori[sz]ed|eligible|something i can|available for me)"
    r"|(?:isn't|aren't) (?:allowed|permitted|possible|authori[sz]ed|eligible|available)|impossible|must decline|have to decline|need to decline|i decline|decline (?:to|this|that|your)"
    r"|refuse to|against (?:the|our|my) (?:rules?|polic(?:y|ies)|restrictions?|guidelines)|no (?:tool|way|means|option|function|possibility) (?:for|to|that|here|available)"
    r"|(?:do not|don't) have (?:a|any|the) (?:tool|way|means|ability|option|function|possibility|permission|authority)|no longer possible|beyond (?:what i|my)|outside (?:of )?(?:what i|my)"
    r"|(?:rules?|polic(?:y|ies)|restrictions?) (?:do not|don't|does not|doesn't|prohibits?|forbids?|prevents?|stops?)|(?:prohibits?|forbids?|prevents?) me|(?:is|are) forbidden|(?:i|we) (?:may|must|should) not|(?:i|we) mustn't"
    r"|(?:has|have|had) to be (?:refused|declined|turned down)|not going to be (?:able|possible)|won't (?:do|be doing|be possible))\b",
    re.I,
)
NOT_REFUSED = re.compile(
    rf"\s*(?:{_VERBS_OF_LOOKING})\b|[^.!?\n]{{0,60}}\b(?:without (?:your|the|knowing|more|a|first)|until (?:i|you|we)|unless (?:i|you|we) (?:know|have|give|tell)|before (?:i|you) (?:know|tell|give|have (?:told|given)))\b",
    re.I,
)
"""What follows a cue of refusal and takes it back: a failed look-up, or a wait for an answer."""

DONE = re.compile(
    r"\b(?:all (?:set|done|sorted|taken care of|good)|done|complete[d]?|successful(?:ly)?|taken care of|went through|(?:is|are) (?:now|all)|(?:has|have) (?:now |all |just |both )?been"
    r"|(?:i|we)(?: have|'ve)(?: now| just| also| already)* \w+|finali[sz]ed|transferred|handed (?:you|this|it)|(?:booked|renewed|cancelled|canceled|updated|changed|scheduled|ordered|reserved|added|removed|moved|registered|submitted|placed|sent|confirmed|recorded) (?:for|to|it|your|the|on|as|in)"
    r"|(?:was|were) (?:booked|renewed|cancelled|canceled|updated|changed|scheduled|ordered|reserved|added|removed|moved|registered|submitted|placed|sent|made|created|set))\b"
    r"|^\s*yes\b",
    re.I,
)
LOOKED = re.compile(
    r"\b(?:not|never|n't|no) (?:yet )?been\b|\b(?:i|we)(?: have|'ve)(?: now| just| also| already)* (?:found|looked|checked|located|seen|noted|understood|received|got|read|reviewed|pulled|verified|a |the |your |to |one |two |some |several |identified|retrieved|opened|asked|been (?:told|asked))",
    re.I,
)
"""A perfect tense that tells of looking, not of doing."""

STOP = frozenset(
    """the a an of your you i me my is are was were to for in on at do does did would could can please like want need with and or it
    its this that these those be been have has had will shall may might should so if as by from about into up out there here then them
    they he she we us our their his her him am just also any some more first let know tell giv provid shar specify confirm give provide
    share ask get got help thank thanks okay ok sure great sorry s re ve ll d m t don name's exactly exact precis kind kindly mind could
    go look make tak see one hello hi sir madam dear now still before after able order speak than too very much well such
    put set use say mean hav think want wish prefer lik favour desir desire would rather requir enter stat state suppl indicate indic
    advis advise continu continue proceed process assist request find fetch check start begin happy glad good right correct thing
    detail information info follow possibl only each every all both own wonder care else something anything regard""".split()
)

WEAK: dict[str, float] = {
    "what": 0.3, "which": 0.3, "when": 0.4, "who": 0.4, "whose": 0.4, "whom": 0.4, "where": 0.4, "how": 0.4, "many": 0.4,
    "long": 0.4, "until": 0.4, "much": 0.4, "new": 0.3, "numb": 0.4, "number": 0.4,
}  # fmt: skip
"""Words that ask but hardly say for what."""

GENERIC: dict[str, tuple[str, ...]] = {
    "date": ("date", "day", "when"),
    "time": ("time", "hour", "when"),
    "datetime": ("date", "time", "day", "when"),
    "number": ("how many", "quantity"),
}
"""Ways to ask for a value of a kind, when only one fact is of that kind."""

SYNONYMS: dict[str, str] = {
    "surnam": "name", "surname": "name", "fullnam": "name", "called": "name", "call": "name",
    "mobil": "phone", "telephon": "phone", "cell": "phone", "mail": "email",
    "sum": "amount", "cost": "price", "weekday": "day", "calendar": "date", "clock": "time", "oclock": "time",
    "addr": "address", "locat": "place", "identifi": "id", "identif": "id", "identification": "id", "identity": "id",
    "colour": "color", "cellphon": "phone", "motive": "reason", "why": "reason", "caus": "reason", "length": "long", "durat": "long", "larg": "size", "big": "size",
    "reference": "referenc", "ref": "referenc", "no": "number", "num": "number", "quantity": "many", "quantiti": "many",
}  # fmt: skip
"""Stem -> stem: words that ask for the same."""
