"""What holds for all tests."""

import hypothesis

# a deadline is a time that a test asserts, and fails on a machine that has other work
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
