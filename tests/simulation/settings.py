"""Settings of the simulated engines: short times, so that much happens in a short life."""

from typing import Final

MICROSECONDS: Final = 1_000_000
WINDOW_SECONDS: Final = 120
RETENTION_SECONDS: Final = 60
LEASE_SECONDS: Final = 3.0
TIMEOUT_SECONDS: Final = 1.0
GROUP_CALLS_MAX: Final = 8
WINDOW_US: Final = WINDOW_SECONDS * MICROSECONDS
RETENTION_US: Final = RETENTION_SECONDS * MICROSECONDS
