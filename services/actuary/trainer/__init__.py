"""The trainer service: trains models on what was labelled."""
