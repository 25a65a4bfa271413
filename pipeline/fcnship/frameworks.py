"""Imports TensorFlow and Keras late, quietly, and with the backend that fcnship needs."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any

from fcnship.errors import EnvironmentLacks


def prepare() -> None:
    """Set what must be set before TensorFlow or Keras is imported. Does not import them."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Else TensorFlow, where it has a GPU, takes all of its memory and leaves none for TensorRT.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "tensorflow"


def import_keras() -> Any:
    """Keras on TensorFlow.

    Raises:
        EnvironmentLacks: TensorFlow or Keras is missing, or Keras already runs on another backend.
    """
    prepare()
    try:
        with _import_noise_held_back():
            import keras
            import tensorflow as tf
    except ImportError as error:
        raise EnvironmentLacks(
            f"TensorFlow or Keras cannot be imported: {error}",
            cause="fcnship was installed without its dependencies, or for another Python",
            next="fcnship doctor",
        ) from error
    if keras.backend.backend() != "tensorflow":
        raise EnvironmentLacks(
            f"Keras runs on {keras.backend.backend()} here, fcnship needs TensorFlow",
            cause="keras was imported before fcnship with another KERAS_BACKEND",
            next="set KERAS_BACKEND=tensorflow",
        )
    tf.get_logger().setLevel(logging.ERROR)
    return keras


@contextlib.contextmanager
def _import_noise_held_back() -> Iterator[None]:
    """Hold back what TensorFlow's libraries write to the error stream while they are loaded.

    Its C++ logging says how it was compiled and that there is no GPU before it reads any log level, so only
    the file descriptor can be turned away. Should the import fail, the lines are shown.
    """
    if "tensorflow" in sys.modules:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
                import tensorflow as tf

                tf.config.list_physical_devices()
        except Exception:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def import_tensorflow() -> Any:
    """TensorFlow, after Keras."""
    import_keras()
    import tensorflow as tf

    return tf
