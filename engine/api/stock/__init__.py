"""Calls about stock: reservations, facts and policies, transfers, the catalog."""
