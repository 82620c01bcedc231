"""What this engine is for its shard: primary or standby, and how it becomes the other; snapshots beside the writer."""
