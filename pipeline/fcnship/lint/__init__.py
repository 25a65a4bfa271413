"""Whether a TensorRT that is not here would take an ONNX file: rules over the graph, one file an idea."""
