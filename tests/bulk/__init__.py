"""The bulk path: columns do what unary calls do, wrong ones are named, and nothing is written of a call that is wrong.

In this process a desk and its book are asked directly; an engine is asked what needs one: the wire, crowds, crashes.
"""
