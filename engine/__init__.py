"""The service: transports, api, sequencer, and the pipeline that joins them (see service.py)."""
