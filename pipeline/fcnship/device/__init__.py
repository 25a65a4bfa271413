"""What runs beside TensorRT, here or on a device: standard library, NumPy, TensorRT, Polygraphy."""
