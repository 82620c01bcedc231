"""The stock ledger and its journal. Imports no gRPC: see DESIGN in docs/architecture.md."""
