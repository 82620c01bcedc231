"""A sample file of settings, made of what the settings say of themselves."""

import json
import textwrap
from collections.abc import Iterator
from itertools import groupby
from typing import Final

from pydantic import ByteSize
from pydantic.fields import FieldInfo

from engine.config import ENVIRONMENT_PREFIX, EngineConfig, default_of, topic_of

WIDTH: Final = 100
HEAD: Final = f"""\
# Settings of `onhand serve --config FILE`. Each line shows the default: take the # before a name away to change it.
# Flags (--drain-seconds) win over environment variables ({ENVIRONMENT_PREFIX}DRAIN_SECONDS), and those over this file.
# Times are seconds (history_days: days) or have a unit, such as "15m"; sizes are bytes, or such as "1GiB".
"""


def sample_of_settings() -> str:
    """Return a TOML file in which every setting stands with its description and default, commented out."""
    return "\n".join([HEAD, *_lines()])


def _lines() -> Iterator[str]:
    for topic, settings in groupby(EngineConfig.model_fields.items(), lambda each: topic_of(each[1])):
        yield f"# ---- {topic.value} ".ljust(WIDTH, "-")
        yield ""
        for name, field in settings:
            yield from (f"# {line}" for line in textwrap.wrap(field.description or "", WIDTH - 2))
            yield f"#{name} = {_written(field)}"
            yield ""


def _written(field: FieldInfo) -> str:
    """Return a default as TOML has it, which for these kinds of values is as JSON has it."""
    is_number_or_switch = isinstance(field.default, bool | int | float) and field.annotation is not ByteSize
    return json.dumps(field.default if is_number_or_switch else default_of(field))
