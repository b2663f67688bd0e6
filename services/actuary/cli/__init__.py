"""The command line and the composition root: it alone starts services and workers."""
