"""What a ledger is read back from, whoever keeps it."""

from typing import Protocol


class ImageSource(Protocol):
    """Gives back the parts of an image."""

    def has(self, name: str) -> bool:
        """Tell whether it has a part."""
        ...

    def read(self, name: str) -> bytes:
        """Return a part."""
        ...

    def read_into(self, name: str, target: memoryview) -> None:
        """Read a part to where it belongs; `target` has its size."""
        ...
