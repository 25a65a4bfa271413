"""The MNIST network with a convolution in place of the dense head: trained at 28x28, runs at any larger size.

The 7x7 convolution sees the whole 7x7 map of a 28x28 image, as a dense layer would; on larger ones it slides.
55,338 parameters for 1 channel and 10 classes.
"""

import keras
from keras import layers

SIZE = (28, 28)  # height, width: trained at this size
VALUE_RANGE = (0, 1)
TRAINING = {"epochs": 5, "batch": 64}


def model(channels: int, classes: int) -> keras.Model:
    """A Sequential model, a map of probabilities out. Shapes are those at 28x28."""
    return keras.Sequential(
        [
            keras.Input((None, None, channels), name="image"),  # (28, 28, channels)
            layers.Conv2D(16, 3, padding="same", activation="relu"),  # (28, 28, 16)
            layers.MaxPooling2D(2),  # (14, 14, 16)
            layers.Conv2D(32, 3, padding="same", activation="relu"),  # (14, 14, 32)
            layers.MaxPooling2D(2),  # (7, 7, 32)
            layers.Conv2D(32, 7, activation="relu"),  # (1, 1, 32)
            layers.Conv2D(classes, 1),  # (1, 1, classes)
            layers.Softmax(),  # (1, 1, classes), over the channels of each cell
        ],
        name="fcn",
    )


def optimizer(steps: int) -> keras.Optimizer:
    """The published recipe: Adam at its defaults, whatever the number of steps."""
    return keras.optimizers.Adam()
