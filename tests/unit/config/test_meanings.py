"""The meanings of keys are the texts below them, in the source of their table or of the one that it inherits from."""

import subprocess
import sys
from collections.abc import Iterator

from miltscan.config.engines import ClamdEngineSettings, ClamdSettings, EngineTable, RspamdEngineSettings
from miltscan.config.meanings import meanings
from miltscan.config.settings import Settings
from miltscan.config.table import Table
from miltscan.config.tables import MilterSettings


def tables(table: type[Table] = Table) -> Iterator[type[Table]]:
    """All tables of the configuration, without those that only others inherit from."""
    for one in table.__subclasses__():
        yield one
        yield from tables(one)


def test_each_key_has_a_sentence() -> None:
    """A key without a text below it would be missing in the documentation, the schema and the shown configuration."""
    texts = {
        f"{table.__name__}.{key}": meanings(table).get(key, "")
        for table in tables()
        if table is not Settings and table.__module__.startswith("miltscan.") and not table.__name__.startswith("_")
        for key in table.model_fields
    }
    wrong = {key for key, text in texts.items() if not text.endswith(".") or "\n" in text}
    assert wrong == {"PolicySettings.on_unscanned"}  # a table in a table, which has a text of its own


def test_a_text_is_that_of_the_source() -> None:
    """Without quotes and indentation."""
    assert meanings(MilterSettings)["socket_mode"] == "File mode of a unix socket."


def test_a_table_has_the_texts_of_those_it_inherits_from() -> None:
    """In the order of inheritance: the first table that explains a key counts."""
    found = meanings(ClamdEngineSettings)
    assert found["type"] == "Engine type."
    assert found["on_error"] == meanings(EngineTable)["on_error"]
    assert found["servers"] == meanings(ClamdSettings)["servers"]
    assert found["canary_interval"] == meanings(ClamdSettings)["canary_interval"]
    assert found["canary_interval"] != meanings(RspamdEngineSettings)["canary_interval"]


def test_a_start_reads_no_source() -> None:
    """It would take a tenth of the time of a start."""
    code = "import linecache, miltscan.commands.service; print([one for one in linecache.cache if 'miltscan' in one])"
    assert subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE).stdout == b"[]\n"
