"""Do features and decisions depend on what was not known yet, or on when the bot was started?"""

from src.research.lookahead.changes import HIDDEN, Change
from src.research.lookahead.check import CheckedPair, Found, Pair, lookahead, pairs_of

__all__ = ["HIDDEN", "Change", "CheckedPair", "Found", "Pair", "lookahead", "pairs_of"]
