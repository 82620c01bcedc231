"""Calls about where orders ship from: the network, plans, quotes, rejections, explanations."""
