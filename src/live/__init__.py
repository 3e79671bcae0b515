"""The live composition of the bot: the wall clock, a real broker or a simulated one on real prices, and a recording."""
