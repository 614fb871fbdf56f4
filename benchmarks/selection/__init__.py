"""Every selection rule on the same jobs: virtual time and rounds to an accuracy, with three seeds."""
