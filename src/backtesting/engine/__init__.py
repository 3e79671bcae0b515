"""Virtual time and the composition of the bot over it."""
