"""The one writer, driven step by step between fakes of the outside: when it answers, and what stands by then."""
