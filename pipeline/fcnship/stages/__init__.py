"""The stages of a build, in their order, one module each."""

from fcnship.driver import Stage
from fcnship.stages.convert import Convert
from fcnship.stages.engine import Engine
from fcnship.stages.fp16 import Fp16
from fcnship.stages.int8 import Int8
from fcnship.stages.onnx import Onnx
from fcnship.stages.report import Report
from fcnship.stages.savedmodel import SavedModel
from fcnship.stages.train import Train
from fcnship.stages.validate import Validate

STAGES: tuple[Stage, ...] = (
    Train(),
    Convert(),
    SavedModel(),
    Onnx(),
    Fp16(),
    Int8(),
    Engine(),
    Validate(),
    Report(),
)
