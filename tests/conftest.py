"""What all tests share."""

from hypothesis import settings

pytest_plugins = ["pytester", "tests.lab.fixtures"]

settings.register_profile("vmkeep", deadline=None)  # tests never judge by time
settings.load_profile("vmkeep")
