"""The plain MNIST network with a dense head: tied to 28x28, and nearly all of its parameters in one layer.

2,770,634 parameters for 1 channel and 10 classes.
"""

import keras
from keras import layers

SIZE = (28, 28)  # height, width
VALUE_RANGE = (0, 1)
TRAINING = {"epochs": 5, "batch": 64}


def model(channels: int, classes: int) -> keras.Model:
    """A Sequential model, probabilities out."""
    return keras.Sequential(
        [
            keras.Input((*SIZE, channels), name="image"),  # (28, 28, channels)
            layers.Conv2D(32, 3, activation="relu"),  # (26, 26, 32)
            layers.Flatten(),  # (21632)
            layers.Dense(128, activation="relu"),  # (128), 2,769,024 of the parameters
            layers.Dense(classes, activation="softmax"),  # (classes)
        ],
        name="dense",
    )


def optimizer(steps: int) -> keras.Optimizer:
    """The published recipe: Adam at its defaults, whatever the number of steps."""
    return keras.optimizers.Adam()
