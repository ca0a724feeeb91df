"""Row "Spam": how do anti-spam engines score mail, what would they do with it, and which of their rules match?"""

from grafana_foundation_sdk.models.units import Short

from deploy.grafana.generator.panels import PER_SECOND, Panel, graph, rows
from deploy.grafana.generator.queries import grown, or_none, quantile, rate

_TOP = 25

PANELS: tuple[Panel, ...] = (
    graph(
        "Scores",
        Short,
        (quantile(0.5, "miltscan_spam_score", "engine"), "{{engine}} 50 %"),
        (quantile(0.95, "miltscan_spam_score", "engine"), "{{engine}} 95 %"),
        note="What score do half of the messages not exceed, and what score 95 % of them?",
    ),
    graph(
        "Actions that anti-spam engines propose",
        PER_SECOND,
        (rate("miltscan_spam_actions_total", "engine, action"), "{{engine}} {{action}}"),
        note="What would the engines have done? miltscan does what policy.on_spam says.",
        stacked=True,
    ),
    rows(
        "Most frequent rules",
        ("engine", "symbol"),
        (
            or_none(f"topk({_TOP}, {grown('miltscan_spam_symbols_total', 'engine, symbol')})", "symbol"),
            "messages",
            Short,
        ),
        width=8,
        note="Which rules matched most often in the time shown? Rare ones are counted together as other.",
    ),
)
