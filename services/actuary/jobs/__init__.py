"""Launching work, and what a launched process does: description, runner, harness, chunks, receipts."""
