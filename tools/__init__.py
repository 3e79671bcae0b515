"""Tools of the repository itself; never installed with the product."""
