"""The smallest MNIST network: no pooling but a maximum over the whole map: one answer at every size.

5,130 parameters for 1 channel and 10 classes. It sees 5x5 pixels at a time, which limits what it can learn.
"""

import keras
from keras import layers

VALUE_RANGE = (0, 1)
TRAINING = {"epochs": 5, "batch": 64}


def model(channels: int, classes: int) -> keras.Model:
    """A Sequential model, a map of one cell of probabilities out."""
    return keras.Sequential(
        [
            keras.Input((None, None, channels), name="image"),  # (H, W, channels)
            layers.Conv2D(16, 3, padding="same", activation="relu"),  # (H, W, 16)
            layers.Conv2D(32, 3, padding="same", activation="relu"),  # (H, W, 32)
            layers.GlobalMaxPooling2D(keepdims=True),  # (1, 1, 32)
            layers.Conv2D(classes, 1),  # (1, 1, classes)
            layers.Softmax(),  # (1, 1, classes), over the channels
        ],
        name="variable",
    )


def optimizer(steps: int) -> keras.Optimizer:
    """The published recipe: Adam at its defaults, whatever the number of steps."""
    return keras.optimizers.Adam()
