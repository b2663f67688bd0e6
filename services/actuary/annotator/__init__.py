"""The annotator service: labels items with models."""
