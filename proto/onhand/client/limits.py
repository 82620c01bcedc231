"""Limits of the client itself; those of the engine are in `onhand.rules.limits`."""

from typing import Final

CALL_BYTES_MAX: Final = 1024 * 1024
"""A bulk call of more is sent in halves: the engine's writer takes about this much at a time."""
RESPONSE_BYTES_MAX: Final = 64 * 1024 * 1024
"""An answer in which thousands of commands name a hundred short lines each."""
CALLS_IN_FLIGHT_MAX: Final = 3
"""Bulk calls on their way: one is decided and made durable while others are encoded, sent and read."""
SETTLED_AT_ONCE: Final = 512
"""Callers that hear their outcome before others may run; else thousands who wait together would go on in step."""
WAITING_MAX: Final = 131_072
"""Commands that wait to be sent; one more is refused."""
DEADLINE_SECONDS: Final = 10.0
"""What a command may take, retries included, if the caller does not say."""
DEADLINE_SECONDS_MAX: Final = 1_000_000_000
"""More than this no timer takes."""
ATTEMPT_SHARE: Final = 0.2
"""Part of a call's time that one attempt may take where there is another engine to ask."""
ATTEMPT_SECONDS_MIN: Final = 0.25
"""But not less than this, else an engine that is only slow would be left."""
LEARNED_MAX: Final = 8
"""Engines that are remembered because another one named them as the primary."""
PAGE_SIZE: Final = 1_000
"""Entries of one page of a list."""
