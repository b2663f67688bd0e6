"""The campaign service: one request drives everything; it owns the purse."""
