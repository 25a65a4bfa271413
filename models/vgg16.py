"""VGG16 (Simonyan and Zisserman 2014, arXiv 1409.1556, configuration D), as published: tied to 224x224.

138,357,544 parameters for 3 channels and 1,000 classes, 123,642,856 of them in the three dense layers.
"""

import keras
from keras import layers

SIZE = (224, 224)  # height, width
VALUE_RANGE = (0, 1)
TRAINING = {"epochs": 5, "batch": 64}
BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # convolutions and their filters in each block


def model(channels: int, classes: int) -> keras.Model:
    """A Sequential model, probabilities out."""
    net = keras.Sequential(
        [keras.Input((*SIZE, channels), name="image")], name="vgg16"
    )  # (224, 224, channels)
    for block, (depth, filters) in enumerate(BLOCKS, start=1):
        for place in range(1, depth + 1):
            name = f"block{block}_conv{place}"
            net.add(layers.Conv2D(filters, 3, padding="same", activation="relu", name=name))
        net.add(layers.MaxPooling2D(2, name=f"block{block}_pool"))  # half the side: 112, 56, 28, 14, 7
    net.add(layers.Flatten(name="flatten"))  # (7, 7, 512) to (25088)
    net.add(layers.Dense(4096, activation="relu", name="fc1"))  # (4096), 102,764,544 parameters
    net.add(layers.Dense(4096, activation="relu", name="fc2"))  # (4096), 16,781,312 parameters
    net.add(layers.Dense(classes, activation="softmax", name="predictions"))  # (classes)
    return net


def optimizer(steps: int) -> keras.Optimizer:
    """Adam at its defaults, whatever the number of steps."""
    return keras.optimizers.Adam()
