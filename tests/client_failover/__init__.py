"""The client package and the engines of one shard: how it finds the primary, and what becomes of calls meanwhile."""
