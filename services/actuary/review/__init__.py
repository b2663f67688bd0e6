"""The review service: which task next to whom, and what the answers come to."""
