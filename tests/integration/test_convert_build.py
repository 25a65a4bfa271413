"""A build from a dense model: its conversion is proved, and the report carries the certificate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import pytest
from convert_models import with_weights
from keras import layers

from fcnship.errors import ParityFailed
from fcnship.events import Silence
from fcnship.runs import options_from
from fcnship.session import Session
from fcnship.stages.convert import Convert
from fcnship.stages.train import Train

# Keras saves under numpy 2 with a warning of its own.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def _session(folder: Path) -> Session:
    """A session in which the dense model has been taken over."""
    net = keras.Sequential([keras.Input((8, 9, 1)), layers.Conv2D(4, 3, activation="relu")])
    net.add(layers.Flatten(data_format="channels_first"))
    net.add(layers.Dense(10, activation="softmax"))
    path = folder / "dense.keras"
    with_weights(net).save(path)
    session = Session(options_from(path, {"out": folder / "runs", "profile": "8x9-24"}), Silence())
    _driven(session, Train())
    return session


def _driven(session: Session, stage: Any) -> None:
    from fcnship.driver import drive

    with session.workspace.locked():
        drive([stage], session)


def test_the_stage_proves_what_it_converted(tmp_path: Path) -> None:
    session = _session(tmp_path)
    _driven(session, Convert())
    certificate = session.record("convert").facts["certificate"]
    assert certificate["verdict"] == "proved"
    assert certificate["images"]["real"] == 64
    assert {check["head"] for check in certificate["trained"]} == {"average"}
    json.dumps(certificate, allow_nan=False)


def test_a_failed_certificate_fails_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = _session(tmp_path)
    monkeypatch.setattr("fcnship.graph.surgery.flatten.flat_order", lambda surgeon, op: "hwc")
    with pytest.raises(ParityFailed, match="the converted network is not proved: output 'dense"):
        _driven(session, Convert())
    assert session.record("convert").status == "failed"
    assert not session.workspace.path("keras/converted.keras").exists()
