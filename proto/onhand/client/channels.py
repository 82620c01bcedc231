"""The plain grpcio channels that clients stand on."""

from typing import Any, Final

from onhand.client.limits import RESPONSE_BYTES_MAX

OPTIONS: Final[list[tuple[str, Any]]] = [
    ("grpc.max_receive_message_length", RESPONSE_BYTES_MAX),
    # A connection of its own, that is gone when the client is closed.
    ("grpc.use_local_subchannel_pool", 1),
    # An engine that was started again is found within a second.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.min_reconnect_backoff_ms", 5_000),  # in fact: how long one attempt to connect may take
]
