"""The service: transports, api, sequencer, and the pipeline that joins them (see service.py)."""

import os

# Before anything imports grpc. A snapshot is written by a forked child that never touches gRPC; gRPC's own handlers
# around a fork would stop its threads for that, or abort the child.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
