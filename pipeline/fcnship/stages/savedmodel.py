"""savedmodel: the Keras model as a TensorFlow SavedModel of any size."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fcnship.driver import StageResult
from fcnship.frameworks import import_keras, import_tensorflow
from fcnship.graph.loading import load_model
from fcnship.graph.onnx_export import INPUT, OUTPUT
from fcnship.graph.tracing import untraceable
from fcnship.session import Session

FOLDER = "savedmodel"


class SavedModel:
    """Writes ``savedmodel/`` with one signature: ``image`` (batch, height, width, channels) in,
    ``probabilities`` out.
    """

    name = "savedmodel"
    needs = ("train", "convert")
    libraries = ("tensorflow", "keras")

    def inputs(self, session: Session) -> Mapping[str, str]:
        """The model alone."""
        return {}

    def requires(self, session: Session) -> None:
        """TensorFlow can be imported."""
        import_keras()

    def run(self, session: Session) -> StageResult:
        """Export through Keras's own archive, quietly."""
        keras = import_keras()
        tf = import_tensorflow()
        model = load_model(session.network_file)
        image = tf.TensorSpec((None, None, None, model.inputs[0].shape[-1]), tf.float32, name=INPUT)
        serve = tf.function(lambda image: {OUTPUT: model(image, training=False)}, input_signature=[image])
        try:
            serve.get_concrete_function()
        except (TypeError, ValueError) as error:
            raise untraceable(model, error) from error
        archive = keras.export.ExportArchive()
        archive.track(model)
        archive.add_endpoint("serve", serve)
        with session.workspace.writing(FOLDER) as path:
            archive.write_out(str(path), verbose=False)
        return StageResult(files=(FOLDER,))

    def ensures(self, session: Session, result: StageResult) -> None:
        """It loads, and gives the original's shape at the profiles' smallest size."""
        tf = import_tensorflow()
        loaded = tf.saved_model.load(str(session.workspace.path(FOLDER)))
        size, channels = session.profiles[0].min, session.facts.geometry.channels
        image = np.zeros((1, size.height, size.width, channels), np.float32)
        outputs = loaded.signatures["serve"](image=tf.constant(image))
        assert outputs[OUTPUT].shape[-1] == session.facts.geometry.classes, outputs[OUTPUT].shape
