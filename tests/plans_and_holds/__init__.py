"""Plans follow their holds: capacity, rejections, rules of what an order becomes, refusals that are remembered."""
