"""One hypothesis profile for all tests of the protocol: the same examples on every run."""

from hypothesis import settings

settings.register_profile("hubbub", deadline=None, derandomize=True, print_blob=True, database=None)
settings.load_profile("hubbub")
