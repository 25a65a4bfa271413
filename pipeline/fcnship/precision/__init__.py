"""Precision lives in the graph: FP16 and INT8 as typed ONNX, and the ranges that INT8 stands on."""
