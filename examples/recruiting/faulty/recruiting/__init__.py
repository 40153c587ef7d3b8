"""A small back end for recruiters and their candidates."""
