"""What the engine is measured against, each started for one run and stopped after it."""
