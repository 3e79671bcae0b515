"""Many runs of one bot, and what they say together."""
