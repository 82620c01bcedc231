"""What the tests of this folder share."""

TTL = 600.0
