"""Object stores: one protocol, and the adapters that speak it. Nothing is imported before a store is opened."""
