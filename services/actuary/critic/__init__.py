"""The critic service: prices the risk that a label is wrong."""
