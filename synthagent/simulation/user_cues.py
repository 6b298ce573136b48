"""The words by which the linter knows a user that is out of its role. Data, no logic; all for text in lower case."""

import re


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile(rf"(?:{'|'.join(patterns)})")


_FOR_YOU = r"(?:for you|to you|on your behalf|in (?:our|the|my) (?:system|records|database|files?)|into our|on our end|on my end)"
_SERVICE = (
    "process|look up|look into|look (?:that|this|it) up|check|update|cancel|book|transfer|arrange|schedule|pull|find|"
    "change|register|submit|set (?:that|this|it) up|reset|refund|issue|send|make|create|place|take care of|verify|"
    "connect|forward|get|see|proceed with|go ahead and|renew|file|open|add|remove|confirm|assist|help"
)
SERVES = _any(
    r"how (?:can|may|could) i (?:help|assist|be of)",
    r"(?:anything|something) else (?:that )?i (?:can|could|may) (?:help|assist|do)",
    r"\bi(?:'d| would| will|'ll) be (?:more than )?(?:happy|glad|pleased) to (?:help|assist)",
    r"\bi(?:'m| am) (?:here|happy|glad) to (?:help|assist)",
    rf"\b(?:let me|allow me to|i(?:'ll| will| can|'m going to)(?: now| just| gladly)*) (?:{_SERVICE})\b[^.?!]{{0,60}}\b{_FOR_YOU}",
    r"\b(?:let me|allow me to|i'll|i will) (?:just |quickly )?(?:pull up|look up|check|access|verify) (?:your|our|the system|my system)",
    r"\bi(?:'ve| have)(?: now| just| already| successfully)* (?:processed|cancelled|canceled|updated|booked|transferred|"
    r"arranged|scheduled|changed|registered|submitted|refunded|issued|sent|renewed|placed|noted|forwarded|added|reset|"
    r"located|found|opened|filed|set up|moved) (?:your|that for you|this for you|it for you|you\b)",
    r"\byour (?:request|booking|order|account|appointment|reservation|loan|ticket|payment|refund|membership|application|"
    r"prescription|policy|claim|card) (?:has|have) been (?:successfully )?(?:processed|cancelled|canceled|updated|booked|"
    r"transferred|changed|submitted|issued|renewed|placed|confirmed|approved|scheduled|registered|moved|reset|refunded)",
    r"\b(?:as|i'm|i am|being) (?:just |only )?an? (?:ai|artificial|language model|virtual assistant|digital assistant|"
    r"automated|assistant|chatbot|bot|agent|representative|customer service)",
    r"\bas your (?:assistant|agent|representative)",
    r"\b(?:thank you|thanks) for (?:contacting|calling|reaching out|choosing|your patience|getting in touch|writing in)",
    r"\b(?:may|could|can) i (?:please )?(?:have|get|ask for|take) your (?:name|full name|account|booking|order|member|"
    r"date of birth|email|e-mail|phone|address|details|reference|number|id|confirmation)",
    r"\b(?:could|can|would) you (?:please )?(?:provide|confirm|give me|share|tell me|verify) your (?:name|full name|account|"
    r"booking|order|member|date of birth|email|e-mail|phone|address|details|reference|number|id|identity)",
    r"\bplease (?:provide|confirm|share|verify) your (?:name|full name|account|booking|order|member|date of birth|email|"
    r"e-mail|phone|address|details|reference|number|id|identity)",
    r"\bi (?:completely |fully |totally )?understand your (?:frustration|concern|situation|inconvenience|request)",
    r"\b(?:i|we) apologi[sz]e for (?:the|any) (?:inconvenience|delay|confusion|trouble)",
    r"\bplease (?:hold|bear with me|stay on the line|allow me)",
    r"\bour (?:records|system|team|policy|policies|staff|agents?|department|customers?|website|database) (?:show|will|is|are|"
    r"indicates?|says?|allows?|does|do|has|have|can|states?|requires?)",
    r"\b(?:what|which|how) (?:can|may|would|else can) (?:i|we) (?:do|help|assist)(?: with)?(?: for)? you",
    r"\bis there anything else (?:you need|you'd like|i can|you would like me)",
    r"\bwould you like me to\b",
    r"\bone moment(?:,)? (?:please )?while i\b",
)
"""What somebody says who serves, not who is served."""

SYNTAX = re.compile(
    r"</?(?:tool_call|tool|question|answer|function|tool_response|think)\b|\{\s*\"[\w ]+\"\s*:|\b[a-z]+(?:_[a-z0-9]+)+\s*\("
    r"|\b[a-z]+(?:_[a-z0-9]+){1,4}\b|\bfunction call\b|\btool calls?\b|```|\b(?:call|use|run|invoke|try) (?:\w+ ){1,3}(?:tool|function|api)\b"
)
"""What nobody writes in a chat with a company. Names with underscores are names of tools."""

_PERHAPS = r"(?: just| already| now| actually| also| even| went ahead and| gone ahead and| simply| quickly| finally)*"
DID = re.compile(
    rf"\bi(?:'ve| have)?{_PERHAPS}(?: have)?{_PERHAPS} (?P<deed>(?!need\b|indeed\b|proceed\b|feed\b|exceed\b)[a-z]+ed|sent|paid|made|took|gave|put|set|wrote|bought|withdrew|reset|chose)\b"
)
"""Somebody says that they have done something."""
TRIED = re.compile(
    r"\b(?:tried|wanted|asked|called|needed|hoped|expected|decided|forgot|noticed|realised|realized|used)\b"
)
NOT_DONE = re.compile(
    r"\b(?:if|when|once|unless|before|after|thought|wish|because|since|as|that|which|until)\b[^.!?]*$"
)
IN_THE_SYSTEM = re.compile(
    r"\b(?:myself|on my own|in (?:your|the) (?:system|app|portal|account|database|records)|"
    r"on (?:your|the) (?:site|website|app|portal|page|system)|through (?:your|the) (?:site|website|app|portal|system)|"
    r"via (?:your|the) (?:site|website|app|portal|system)|online|from my end|on my end|on my side)\b"
)

LEAVES = re.compile(
    r"\b(?:good ?bye|bye(?: bye)?|have a (?:nice|great|good|lovely) (?:day|one|evening|weekend))\b[.!]?\s*$"
)
"""Last words."""

NOT_KNOWING = re.compile(
    r"\b(?:don't|do not|didn't|can't|cannot|couldn't) (?:really |actually |even )?(?:know|remember|recall|have (?:that|it|any|one|the))"
    r"|\bno idea\b|\bnot sure\b|\bi forgot\b|\bhaven't got\b|\bhow should i know\b|\bdon't know\b|\bno clue\b|\bunsure\b"
)
AGREES = re.compile(
    r"(?:oh |well |ok(?:ay)?,? |great,? |perfect,? )?(?:yes|yeah|yep|yup|sure|correct|right|exactly|please do|go ahead|"
    r"ok(?:ay)?\b|fine|that's (?:right|correct|fine|it)|that is (?:right|correct|fine)|absolutely|of course|confirmed|"
    r"sounds (?:good|right|fine)|do it|definitely|perfect|all good|certainly|that works)"
)
DENIES = re.compile(
    r"(?:oh |well |hm+,? |actually,? )?(?:no\b|nope|nah|wrong|not (?:quite|right|that|like)|don't\b|do not\b|stop\b|wait\b|absolutely not)"
)

NAMES_NO_ONE = frozenset(
    """
    i i'm i'd i'll i've monday tuesday wednesday thursday friday saturday sunday january february march april may june
    july august september october november december jan feb mar apr jun jul aug sep sept oct nov dec ok okay yes no
    mr mrs ms dr miss sir madam english god gosh tv id faq asap am pm please thanks thank hi hello hey dear the a an
    usd eur gbp internet christmas easter jesus lord
    """.split()
)
"""Capitals that name nobody."""
