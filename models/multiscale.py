"""multiscale: one small network that looks at an image, its half and its quarter, for images of any size.

What it learns of a figure 50 pixels high serves one of 100 and of 200 as well, because the same convolutions
see all three. Each cell says what it sees and how much that counts; the sums over all cells and all three
scales decide, so that an empty margin has no say. No BatchNormalization: its running statistics fit no single
size when the sizes of batches differ.
"""

import keras
from keras import layers, ops

VALUE_RANGE = (0, 255)
TRAINING = {
    "steps": 1300,
    "steps_per_image": 0.1,
    "most_steps": 9000,
    "pixels": 3 << 16,  # a batch, whatever its size
    "most_images": 128,
    "growth": 0.375,
    "near_largest": 0.15,  # of the batches: a large image costs much and teaches little that is new
    "any_shape": 0.15,  # of the batches: a figure somewhere in an image as long as the profile allows
}
AUGMENT = {"shift": 0.03, "scale": 0.05, "rotate": 5, "shear": 0.06}  # shares of a side, degrees
SCALES = 3


def model(channels: int, classes: int) -> keras.Model:
    image = keras.Input((None, None, channels), name="image")  # (batch, height, width, channels)
    # An image is divided by its own brightest value: in 0-1, in 0-255 or dim, it is the same picture.
    x = image / ops.maximum(ops.max(image, axis=(1, 2, 3), keepdims=True), 1e-6)

    eye = [conv(12, stride=2), conv(24, stride=2), conv(40, stride=2), conv(40), conv(40), conv(48)]
    scores = layers.Conv2D(classes, 1, name="scores")
    say = layers.Conv2D(1, 1, activation="sigmoid", name="say")
    sums, says = [], []
    for scale in range(SCALES):
        x = layers.AveragePooling2D(2)(x) if scale else x
        y = x
        for layer in eye:
            y = layer(y)  # (batch, height / 8, width / 8, 48) of this scale; a cell sees 63 of its pixels
        share = say(y)
        sums.append(layers.GlobalAveragePooling2D()(scores(y) * share))
        says.append(layers.GlobalAveragePooling2D()(share))

    x = layers.Add()(sums) / (layers.Add()(says) + 1e-3)  # (batch, classes)
    return keras.Model(image, layers.Softmax(name="probabilities")(x), name="multiscale")


def conv(filters: int, stride: int = 1) -> layers.Layer:
    return layers.Conv2D(
        filters, 3, strides=stride, padding="same", activation="relu", kernel_initializer="he_normal"
    )


def optimizer(steps: int) -> keras.optimizers.Optimizer:
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps - 100, alpha=0.01, warmup_target=6e-3, warmup_steps=100
    )
    # The weights that are kept are an average over the last steps (ema), smoother than the last ones.
    return keras.optimizers.AdamW(
        rate, weight_decay=1e-3, global_clipnorm=1.0, use_ema=True, ema_momentum=0.99
    )
