"""The convolutional network of Keras's tutorial "Simple MNIST convnet", as it stands there.

Keras keeps channels last and ends in a softmax; heliostat turns the images round and takes the
softmax off, so that the loss sees logits. It needs the extra: `pip install heliostat[keras]`.
"""

from __future__ import annotations

import keras
from keras import layers


def convnet(num_classes: int, in_channels: int, size: tuple[int, int]) -> keras.Model:
    """Return the network for images (height, width, channels); they come normalised."""
    return keras.Sequential(
        [
            keras.Input(shape=(*size, in_channels)),
            layers.Conv2D(32, kernel_size=(3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Conv2D(64, kernel_size=(3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(num_classes, activation="softmax"),
        ]
    )
