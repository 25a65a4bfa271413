"""Images to train on and to measure with."""

from fcnship.data.sources import Dataset, Source, find_data

__all__ = ["Dataset", "Source", "find_data"]
