"""The main job: days of real shopping baskets played against a running engine (`onhand demo`)."""
