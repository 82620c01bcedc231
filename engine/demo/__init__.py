"""The main job: a year of real shopping baskets played against a running engine (`onhand demo`)."""
