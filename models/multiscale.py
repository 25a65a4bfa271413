"""multiscale: nine 3x3 convolutions for images of any size from 28 to 224 and beyond.

No BatchNormalization: its running statistics fit no single size when the sizes of batches differ. The last
maps at strides 8, 16 and 32 are averaged and joined, so that a small image is judged by the first of them and
a large one, whose strokes are wider, by the last.
"""

import keras
from keras import layers, ops

VALUE_RANGE = (0, 255)
TRAINING = {
    "steps": 1700,
    "steps_per_image": 0.12,
    "most_steps": 9000,
    "pixels": 3 << 16,  # a batch, whatever its size
    "most_images": 128,
    "growth": 0.375,
}
AUGMENT = {"shift": 0.03, "scale": 0.05, "rotate": 5, "shear": 0.06}  # shares of a side, degrees


def model(channels: int, classes: int) -> keras.Model:
    image = keras.Input((None, None, channels), name="image")  # (batch, height, width, channels)
    # An image is divided by its own brightest value: in 0-1, in 0-255 or dim, it is the same picture.
    x = image / ops.maximum(ops.max(image, axis=(1, 2, 3), keepdims=True), 1e-6)

    x = conv(x, 8, stride=2)  # height / 2
    x = conv(x, 16, stride=2)  # height / 4
    x = conv(x, 32, stride=2)  # height / 8
    x = eighth = conv(x, 32)
    x = conv(x, 32, stride=2)  # height / 16
    x = sixteenth = conv(x, 32)
    x = conv(x, 40, stride=2)  # height / 32
    x = conv(x, 40)
    x = last = conv(x, 32)  # each cell sees 239 pixels

    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(m) for m in (eighth, sixteenth, last)])
    x = layers.Dense(classes)(x)  # (batch, classes)
    return keras.Model(image, layers.Softmax(name="probabilities")(x), name="multiscale")


def conv(x, filters: int, stride: int = 1):
    return layers.Conv2D(
        filters, 3, strides=stride, padding="same", activation="relu", kernel_initializer="he_normal"
    )(x)


def optimizer(steps: int) -> keras.optimizers.Optimizer:
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps - 100, alpha=0.01, warmup_target=6e-3, warmup_steps=100
    )
    # The weights that are kept are an average over the last steps (ema), smoother than the last ones.
    return keras.optimizers.AdamW(
        rate, weight_decay=1e-3, global_clipnorm=1.0, use_ema=True, ema_momentum=0.99
    )
