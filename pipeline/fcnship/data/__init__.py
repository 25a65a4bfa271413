"""Images to train on and to measure with."""

from fcnship.data.dataset import Dataset
from fcnship.data.sources import BUILT_IN, Source, find_data

__all__ = ["BUILT_IN", "Dataset", "Source", "find_data"]
