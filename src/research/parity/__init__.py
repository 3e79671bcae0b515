"""Two runs of one bot compared decision by decision, with the cause of each difference, and what fills cost."""
