"""What operators do: they ask a running engine, or read its journal, snapshots and archive without one."""
