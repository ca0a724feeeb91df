"""Fixed colours: an outcome, an action and a reply code look the same on each panel, and on the status page.

The outcomes are those of miltscan/status/assets/style.css in light mode, which also suit a dark background; a test
compares them. What happens to a message because of its outcome has the colour of that outcome.
"""

BLUE, TEAL, AMBER, PURPLE, RED = "#2f74d0", "#1f8a70", "#c98500", "#8a4fd3", "#d0342c"
GREY = "#7a8594"
_CYAN, _PINK, _BROWN = "#3fa7c4", "#c4569a", "#9a6b3f"

OUTCOMES = {"clean": BLUE, "spam": TEAL, "unscanned": AMBER, "error": PURPLE, "infected": RED}
ACTIONS = {
    "accept": BLUE,
    "tempfail": AMBER,
    "reject": RED,
    "quarantine": PURPLE,
    "hold": _PINK,
    "discard": GREY,
    "redirect": _CYAN,
    "copy": TEAL,
}
CODES = {"250": BLUE, "451": AMBER, "452": _BROWN, "550": RED, "552": _PINK, "554": PURPLE}
DIRECTIONS = {"inbound": BLUE, "outbound": AMBER, "submission": PURPLE, "internal": TEAL}
QUANTILES = {"50%": BLUE, "95%": AMBER, "99%": RED}
QUEUES = {"incoming": BLUE, "delivery": TEAL}
READINGS = {"plain": BLUE, "sampled": TEAL, "several": AMBER, "missed": RED}
LISTS = {"allow": TEAL, "deny": RED}
RECEIPTS = {
    "valid": BLUE,
    "rescanned": TEAL,
    "none": GREY,
    "forged": RED,
    "stale": AMBER,
    "unknown-key": PURPLE,
    "mismatch": _PINK,
}
SPAM_ACTIONS = {
    "no action": BLUE,
    "greylist": GREY,
    "soft reject": AMBER,
    "add header": TEAL,
    "rewrite subject": _CYAN,
    "quarantine": PURPLE,
    "discard": _BROWN,
    "reject": RED,
    "none": _PINK,
}
