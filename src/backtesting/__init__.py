"""The engine around the bot: virtual time, composition, artifacts, metrics, report."""
