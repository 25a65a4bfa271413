"""For every test: what must be set before anything imports TensorFlow or Keras."""

from __future__ import annotations

from fcnship.frameworks import prepare

prepare()
