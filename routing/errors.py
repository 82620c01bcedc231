"""What is wrong with what somebody gave: every problem names its field, what was expected, and what was found."""

from dataclasses import dataclass, field
from typing import Final

PROBLEMS_SHOWN_MAX: Final = 20


class RoutingInputError(ValueError):
    """A network, profile or order that cannot be used; the text has one problem a line."""


@dataclass(slots=True)
class Problems:
    """What is wrong: all counted, the first ones kept."""

    count: int = 0
    shown: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Note one problem."""
        self.count += 1
        if len(self.shown) < PROBLEMS_SHOWN_MAX:
            self.shown.append(text)

    def raise_if_any(self) -> None:
        """Refuse what was read; raises RoutingInputError."""
        if self.count:
            more = self.count - len(self.shown)
            raise RoutingInputError("\n".join([*self.shown, *([f"… and {more} more."] if more else [])]))
