"""Whether a bot's result depends on the order of turns, and which two of them decide."""
