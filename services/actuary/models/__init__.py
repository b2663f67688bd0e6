"""Calling models: one Protocol, prompts, a window of concurrency and the models that run in process."""
