"""Which layer an error comes from: an ONNX graph is cut at the layers' outputs and run piece by piece."""
