"""Walk-forward validation: which of thousands of candidates survive, at a stated rate of false discoveries."""
