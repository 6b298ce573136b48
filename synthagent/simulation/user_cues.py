"""The words by which the linter knows a user that is out of its role. Data, no logic; all for text in lower case."""

import re


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile(rf"(?:{'|'.join(patterns)})")


_FOR_YOU = (
    r"(?:for you|to you|on your behalf|in (?:our|the|my) (?:system|records|database|files?)|into our|on our end|"
    r"on my end)"
)
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
    rf"\b(?:let me|allow me to|i(?:'ll| will| can|'m going to)(?: now| just|"
    rf" gladly)*) (?:{_SERVICE})\b[^.?!]{{0,60}}\b{_FOR_YOU}",
    r"\b(?:let me|allow me to|i'll|i will) (?:just |quickly )?(?:pull up|look up|check|access|verify) (?:your|"
    r"our|the system|my system)",
    r"\bi(?:'ve| have)(?: now| just| already| successfully)* (?:processed|cancelled|canceled|updated|booked|"
    r"transferred|"
    r"arranged|scheduled|changed|registered|submitted|refunded|issued|sent|renewed|placed|noted|forwarded|added|"
    r"reset|"
    r"located|found|opened|filed|set up|moved) (?:your|that for you|this for you|it for you|you\b)",
    r"\byour (?:request|booking|order|account|appointment|reservation|loan|ticket|payment|refund|membership|"
    r"application|"
    r"prescription|policy|claim|card) (?:has|have) been (?:successfully )?(?:processed|cancelled|canceled|"
    r"updated|booked|"
    r"transferred|changed|submitted|issued|renewed|placed|confirmed|approved|scheduled|registered|moved|reset|"
    r"refunded)",
    r"\b(?:as|i'm|i am|being) (?:just |only )?an? (?:ai|artificial|language model|virtual assistant|"
    r"digital assistant|"
    r"automated|assistant|chatbot|bot|agent|representative|customer service)",
    r"\bas your (?:assistant|agent|representative)",
    r"\b(?:thank you|thanks) for (?:contacting|calling|reaching out|choosing|your patience|getting in touch|"
    r"writing in)",
    r"\b(?:may|could|can) i (?:please )?(?:have|get|ask for|take) your (?:name|full name|account|booking|order|"
    r"member|"
    r"date of birth|email|e-mail|phone|address|details|reference|number|id|confirmation)",
    r"\b(?:could|can|would) you (?:please )?(?:provide|confirm|give me|share|tell me|verify) your (?:name|"
    r"full name|account|"
    r"booking|order|member|date of birth|email|e-mail|phone|address|details|reference|number|id|identity)",
    r"\bplease (?:provide|confirm|share|verify) your (?:name|full name|account|booking|order|member|"
    r"date of birth|email|"
    r"e-mail|phone|address|details|reference|number|id|identity)",
    r"\bi (?:completely |fully |totally )?understand your (?:frustration|concern|situation|inconvenience|request)",
    r"\b(?:i|we) apologi[sz]e for (?:the|any) (?:inconvenience|delay|confusion|trouble)",
    r"\bplease (?:hold|bear with me|stay on the line|allow me)",
    r"\bour (?:records|system|team|policy|policies|staff|agents?|department|customers?|website|"
    r"database) (?:show|will|is|are|"
    r"indicates?|says?|allows?|does|do|has|have|can|states?|requires?)",
    r"\b(?:what|which|how) (?:can|may|would|else can) (?:i|we) (?:do|help|assist)(?: with)?(?: for)? you",
    r"\bis there anything else (?:you need|you'd like|i can|you would like me)",
    r"\bwould you like me to\b",
    r"\bi(?:'ll| will| can)(?: now| just| certainly| gladly)* (?:process|arrange|handle|issue|offer|assist|escalate|"
    r"look into|pull up|help) (?:you|your|this|that|with)\b",
    r"\b(?:can|could|may) you (?:please )?(?:provide|confirm|verify) (?:the|a) \w+(?: \w+)? (?:number|reference|"
    r"code|id)\b",
    r"\bto (?:proceed|continue|help you|assist you)[^.?!]{0,30}\bi(?:'ll| will)? need (?:your|you to)",
    r"\bi(?:'m| am) (?:so |very )?sorry to hear (?:that )?(?:you|about)",
    r"\bi(?:'ve| have) (?:located|pulled up|found) (?:your|the) (?:booking|account|order|file|record|reservation)",
    r"\byour (?:new |replacement )?\w+ (?:will (?:arrive|be (?:sent|delivered|processed|ready))|is being processed)",
    r"\bfor you(?: right away| now| today)?[.!]",
    r"\bhow else (?:can|may|could) i (?:help|assist|be of)",
    r"\blet me (?:just |quickly )?pull (?:that|it|this|up|your)\b",
    r"\bi(?:'ve| have)[^.?!]{0,30} (?:sent|emailed|forwarded) (?:a|an|the|you) (?:confirmation|e-?mail|link|"
    r"copy|receipt)",
    r"\byour (?:\w+ )?\w+ (?:will|should) (?:arrive|be (?:sent|delivered|processed|ready|refunded|credited|shipped))",
    r"\b(?:may|can|could) i (?:please )?(?:have|get|ask for|take) your (?!manager|supervisor|boss|word|"
    r"attention|help)",
    r"\b(?:what|which|when|how many|how long)\b[^.?!]{0,40} would you (?:like|prefer|want)\b",
    r"\bi(?:'m| am) your (?:virtual |digital |personal )?(?:assistant|agent|representative|advisor)",
    r"\bwe(?:'ve| have) received your|\bwe(?:'ll| will) (?:contact|notify|inform|get back to|send|let) you\b",
    r"\b(?:happy|glad|pleased) to (?:help|assist|be of)",
    r"\b(?:may|can|shall) i [^.?!]{0,40}\bfor you\b",
    r"\bwhile i (?:check|look|pull|process|review)[^.?!]{0,40}\bfor you\b",
    r"\bhesitate to (?:contact|reach|ask|call)|\bas your (?:\w+ )?(?:assistant|agent|representative)",
    r"\b(?:according to|as per|per) our (?:records?|polic|system|terms|rules)",
    r"\b(?:my|our) (?:system|screen|records) (?:shows?|says?|indicates?|tells?)",
    r"\bi(?: can)? see (?:here|that your|in (?:the|my|our) (?:system|file|records))",
    r"\bi(?:'ve| have)(?: \w+){0,2} (?:\w+ed|made|put|set) (?:a |an |the |this |that |it )?[^.?!]{0,30}"
    r"\byour (?:account|file|booking|profile|record|request|reservation)\b",
    r"\byour (?:\w+ )?(?:request|case|booking|order|account|claim|ticket|message|complaint) (?:has|"
    r"have) been (?:forwarded|escalated|"
    r"passed|logged|noted|received|closed|opened|created|filed|transferred|handled|completed|resolved)",
    r"\bto our (?:\w+ )?(?:team|department|staff|colleagues?|specialists?)",
    r"\bone moment(?:,)? (?:please )?while i\b",
)
"""What somebody says who serves, not who is served."""

PROMISES = re.compile(
    r"\b(?:i'll|i will|let me|i can|i am going to|i'm going to|i'm|i am)(?: now| just| then| first| go ahead and)* "
    r"(?P<deed>[a-z]+)\b"
)
"""Somebody is about to do something."""
CUSTOMERS_VERBS = frozenset(
    "send give provide pay check confirm ask tell call get need want wait have be see look find take submit "
    "transfer".split()
)
"""Of the verbs in names of tools, those that a customer may be about to do."""

SYNTAX = re.compile(
    r"###\w+|</?[a-z]+_[a-z_]+>|</?(?:tool_call|tool|question|answer|function|tool_response|think)\b|"
    r"\{\s*\"[\w ]+\"\s*:|"
    r"\b[a-z]+(?:_[a-z0-9]+)+\s*\("
    r"|\b[a-z]+(?:_[a-z0-9]+){1,4}\b|\bfunction call\b|\btool calls?\b|```|\b(?:call|use|run|invoke|"
    r"try) (?:\w+ ){1,3}(?:tool|function|api)\b"
)
"""What nobody writes in a chat with a company. Names with underscores are names of tools."""

_PERHAPS = (
    r"(?: just| already| now| actually| also| even| went ahead and| gone ahead and| simply| quickly| finally| then)*"
)
_DEED = (
    r"(?!need\b|indeed\b|proceed\b|feed\b|exceed\b|agreed\b|liked\b|loved\b)[a-z]+ed|sent|paid|made|took|taken|"
    r"gave|given|"
    "gone into|got into|put|set|wrote|written|bought|withdrew|withdrawn|reset|chose|chosen|froze|frozen|did|done|cut|"
    "went into|"
    "took care of|taken care of|logged in|went online"
)
DID = re.compile(
    rf"\bi(?:'ve| have| had)?{_PERHAPS}(?: have)?{_PERHAPS} (?P<deed>{_DEED})\b"
    rf"|^(?:no need,? |never mind,? |actually,? )?(?P<soon>already |just )?(?P<deed2>{_DEED})\b"
)
"""Somebody says that they have done something."""
TRIED = re.compile(
    r"\b(?:tried|wanted|asked|called|needed|hoped|expected|decided|forgot|noticed|realised|realized|used|"
    r"received|heard|"
    r"visited|wondered|promised|mentioned|explained|thought|learned|waited|reached|contacted|emailed|e-mailed)\b"
)
"""What comes to nothing, or is anybody's to do."""
NOT_DONE = re.compile(
    r"\b(?:if|when|once|unless|before|after|thought|wish|because|since|as|that|which|until)\b[^.!?]*$"
    r"|\b(?:the|my|these|those|all|any) \w+(?: \w+)? $"
)
"""What makes a deed a condition, or a part of a description ("the notes I added")."""
HANDLED = re.compile(
    r"\btook the liberty\b|\b(?:i|already|just)(?:'ve| have)?(?: just| already)? (?:took care of|"
    r"taken care of|handled|sorted|"
    r"dealt with|fixed|did|done) (?:it|that|this|everything)\b"
)
"""Somebody claims to have seen to the whole thing."""
IN_THE_SYSTEM = re.compile(
    r"\b(?:myself|on my own|from my end|on my end|on my side|online|"
    r"(?:in|into|on|through|via|from|with|at) (?:your|the \w+'s|the) (?:\w+ ){0,2}(?:system|app|portal|account|"
    r"database|records?|"
    r"site|website|page|software|calendar|platform|dashboard|admin\w*|terminal|back ?end|back office|form|"
    r"files?|schedule|"
    r"planner|register|server|computer|tool|console|panel))\b"
)
"""Where a customer cannot have done anything, or what one says who did."""

HAS_NONE = re.compile(
    r"(?:no,? )?(?:none\b|nothing\b|not any\b|i don't have (?:any|one|a )|i have no(?:ne)?\b|there (?:is|"
    r"are) no)|no[.,] i (?:don't|do not) have"
)
"""Somebody says that there is no such thing."""
NO_YES = re.compile(
    r"^[^.!?]{0,40}\b(?:not|don't|never|no|isn't|won't|wrong|can't|cannot)\b|\b(?:correction|only want|wait)\b"
    r"|^(?:right now|yesterday|yes ?or)\b"
)
"""What takes the yes back with which a reply begins."""
NEVER = re.compile(
    r"\bnever (?:agreed|said|asked|wanted|confirmed|told)\b|\bdid(?:n't| not) (?:agree|say|ask|confirm|tell)\b"
)
"""Somebody takes back what was agreed."""
_SETTLED = (
    "booked|saved|registered|recorded|scheduled|confirmed|cancell?ed|set|done|sorted|ready|arranged|in place|"
    "updated|changed|"
    "moved|blocked|frozen|activated|deactivated|refunded|processed|issued|rescheduled|rebooked|renewed|ordered|"
    "placed|"
    "submitted|reserved|filed|closed|complete|completed|paid|sent|transferred|paused|extended|shipped|added|removed"
)
UNDER_WAY = re.compile(
    r"\b(?:i'm|i am|we're|we are) (?:now |just |still )?(?:looking|checking|working|waiting|"
    r"processing|searching|reviewing)\b"
)
"""What tells that somebody is at it."""
PENDING = re.compile(
    r"\byet\b|\b(?:one|a) moment\b|\bhold on\b|\balmost\b|\blet me (?!know)|\bi(?:'m| am) (?:now |just |"
    r"still )?(?:looking|checking|working|"
    r"searching|going to|about to|waiting|processing|reviewing|pulling)\b|\bstill (?:looking|checking|working|"
    r"waiting|processing)"
)
"""What tells that it goes on."""
SETTLES = re.compile(
    rf"\b(?:is|are|'s|'re|been|was|were|have)(?: now| all| both| just| already| successfully|"
    rf" officially)* (?:{_SETTLED})\b"
    r"|\bon (?:its|their|the) way\b|\ball (?:set|done|sorted|good)\b|^(?:done|sorted|great news|good news)\b"
    r"|\b(?:decision|answer|this|that) is final\b|\bnothing (?:more|else|further) (?:that )?(?:i|we) can do\b"
    r"|\b(?:i|we)(?:'ll| will| can| may| do| am| are)? ?(?:not|never|no longer)\b|\b(?:won't|can't|cannot|"
    r"unable|impossible|not possible)\b"
    r"|\b(?:rejected|declined|refused|denied|turned down|not allowed|against)\b"
    r"|\byou(?:'re| are) (?:all )?(?:set|booked|confirmed|registered)\b|\benjoy\b|\btake care\b|\bgood ?bye\b"
)
"""What tells that something is done, or will not be."""
CHECKS = re.compile(
    r"\b(?:is|are) (?:that|this|these|those|it) (?:right|correct)|,? (?:right|correct)\?|"
    r"\b(?:do|can) you (?:please )?confirm"
)
"""Whether something is so, not whether to go ahead."""
CORRECTS = re.compile(
    r"\b(?:actually|rather|instead|changed my mind|no,? wait|make (?:it|that)|i meant|i mean|correction|sorry)\b"
)
"""Somebody takes back what they said."""

EVADES = re.compile(
    r"\?|\b(?:already|told|said|mentioned|before|again|same|above|why|just do|hurry|listen|yes|no|correct|right)\b"
)
"""How somebody answers who need not say the thing itself."""

LEAVES = re.compile(
    r"\b(?:good ?bye|bye(?: bye)?|have a (?:nice|great|good|lovely) (?:day|one|evening|weekend))\b[.!]?\s*$"
)
"""Last words."""

NOT_KNOWING = re.compile(
    r"\b(?:don't|do not|didn't|can't|cannot|couldn't) (?:really |actually |even )?(?:know|remember|recall|"
    r"have (?:that|it|any|one|the))"
    r"|\bno idea\b|\bnot sure\b|\bi forgot\b|\bhaven't got\b|\bhow should i know\b|\bdon't know\b|\bno clue\b|"
    r"\bunsure\b"
)
AGREES = re.compile(
    r"(?:oh |well |ok(?:ay)?,? |great,? |perfect,? )?(?:yes|yeah|yep|yup|sure|correct|right|exactly|please do|"
    r"go ahead|"
    r"ok(?:ay)?\b|fine|that's (?:right|correct|fine|it)|that is (?:right|correct|fine)|absolutely|of course|"
    r"confirmed|"
    r"sounds (?:good|right|fine)|do it|definitely|perfect|all good|certainly|that works)"
)
DENIES = re.compile(
    r"(?:oh |well |hm+,? |actually,? )?(?:no\b|nope|nah|wrong|not (?:quite|right|that|like)|don't\b|do not\b|"
    r"stop\b|wait\b|absolutely not)"
)

NAMES_NO_ONE = frozenset(
    """
    i i'm i'd i'll i've monday tuesday wednesday thursday friday saturday sunday january february march april may june
    july august september october november december jan feb mar apr jun jul aug sep sept oct nov dec ok okay yes no
    mr mrs ms dr miss sir madam english god gosh tv id faq asap am pm please thanks thank hi hello hey dear the a an
    usd eur gbp internet christmas easter jesus lord dr doctor prof
    """.split()
)
"""Capitals that name nobody."""

COUNTED = re.compile(
    r"\b(three|four|five|six|seven|eight|nine|ten|eleven|twelve) (?!at )(?:\w+ )?"
    r"(?:nights?|months?|years?|people|persons?|guests?|tickets?|euros?|dollars?|pounds?|adults|children|kids|"
    r"bags|suitcases|"
    r"copies|rooms|seats|boxes|items|pieces)\b"
)
"""A number in words that says how many of something."""
IRREGULAR = {
    "paid": "pay", "sent": "send", "made": "make", "took": "take", "taken": "take", "gave": "give", "given": "give",
    "wrote": "write", "written": "write", "bought": "buy", "chose": "choose", "chosen": "choose", "froze": "freez",
    "frozen": "freez", "withdrew": "withdraw", "withdrawn": "withdraw",
}  # fmt: skip
"""Past forms -> the stems that the linter makes of their verbs."""
