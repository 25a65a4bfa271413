"""Training: the loop, its input, its checkpoints, and the devices and machines that share it."""

from fcnship.training.course import Course, Validation
from fcnship.training.loop import Progress, fit
from fcnship.training.update import class_scores

__all__ = ["Course", "Progress", "Validation", "class_scores", "fit"]
