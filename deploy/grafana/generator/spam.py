"""Row "Spam": how do anti-spam engines score mail, what would they do with it, and which of their rules match?"""

from grafana_foundation_sdk.models.units import Short

from deploy.grafana.generator import colours
from deploy.grafana.generator.panels import COUNT, PER_MINUTE, Panel, graph, spread
from deploy.grafana.generator.queries import most, seen
from deploy.grafana.generator.tables import rows

_TOP = 25
_NO_ENGINE = "no message was scored: is there an anti-spam engine?"

PANELS: tuple[Panel, ...] = (
    spread("Scores", Short, "miltscan_spam_score", width=8, none=_NO_ENGINE),
    graph(
        "Actions that anti-spam engines propose",
        PER_MINUTE,
        (seen("miltscan_spam_actions_total", "action"), "{{action}}"),
        note="What would the engines have done? miltscan does what policy.on_spam says.",
        none=_NO_ENGINE,
        colours=colours.SPAM_ACTIONS,
        stacked=True,
    ),
    rows(
        "Most frequent rules of anti-spam engines",
        ("engine", "symbol"),
        (most(_TOP, "miltscan_spam_symbols_total", "engine, symbol"), "messages", COUNT),
        none=_NO_ENGINE,
        note="Which rules matched most often in the time shown? Rare ones are counted together as other.",
    ),
)
