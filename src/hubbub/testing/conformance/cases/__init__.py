"""The cases, by area: each a small function that is given a `Trial`."""
