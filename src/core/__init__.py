"""The bot and its ports. It never asks where it runs."""
