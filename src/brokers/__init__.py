"""Adapters of the Broker port."""
