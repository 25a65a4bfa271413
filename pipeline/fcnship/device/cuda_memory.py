"""Copies to and from the GPU with the driver alone, where there is no CUDA runtime library.

Polygraphy wants libcudart. TensorRT-RTX's wheels need none, a Jetson may have it under another name than
Polygraphy looks for, and the driver, libcuda, is there wherever a GPU is.
"""

from __future__ import annotations

import ctypes
from typing import Any

from fcnship.device.backends import Unrunnable

_HOST_TO_DEVICE, _DEVICE_TO_HOST = 1, 2  # cudaMemcpyKind, as Polygraphy gives it


class DriverMemory:
    """What Polygraphy asks of libcudart (``polygraphy.cuda.Cuda``), by the driver's functions of cuda.h.

    Both work in the device's primary context, in which TensorRT runs. Pointers and streams are whole numbers.

    Raises:
        Unrunnable: the driver refuses.
    """

    def __init__(self) -> None:
        self._driver = ctypes.CDLL("libcuda.so.1")
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self._ask("cuInit", 0)
        self._ask("cuDeviceGet", ctypes.byref(device), 0)
        self._ask("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._ask("cuCtxSetCurrent", context)

    def create_stream(self) -> int | None:
        """A stream that waits for the default one, as cudaStreamCreate gives."""
        stream = ctypes.c_void_p()
        self._ask("cuStreamCreate", ctypes.byref(stream), 0)
        return stream.value

    def stream_synchronize(self, ptr: int | None) -> None:
        """Wait until all of the stream is done."""
        self._ask("cuStreamSynchronize", ctypes.c_void_p(ptr))

    def destroy_stream(self, ptr: int | None) -> None:
        """Give the stream back."""
        self._ask("cuStreamDestroy_v2", ctypes.c_void_p(ptr))

    def malloc(self, nbytes: int) -> int | None:
        """Memory of the GPU; as cudaMalloc, nothing for no bytes."""
        address = ctypes.c_uint64()
        if nbytes:
            self._ask("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(nbytes))
        return address.value

    def free(self, ptr: int | None) -> None:
        """Give memory back; nothing is freed of nothing."""
        if ptr:
            self._ask("cuMemFree_v2", ctypes.c_uint64(ptr))

    def memcpy(self, dst: int, src: int, nbytes: int, kind: Any, stream_ptr: int | None = None) -> None:
        """Copy between host and device, in a stream if one is given."""
        size, number = ctypes.c_size_t(nbytes), getattr(kind, "value", kind)
        if number not in (_HOST_TO_DEVICE, _DEVICE_TO_HOST):
            raise Unrunnable(f"a copy of the kind {number} is not among those that the driver is asked for")
        name = "cuMemcpyHtoD" if number == _HOST_TO_DEVICE else "cuMemcpyDtoH"
        there = ctypes.c_uint64 if number == _HOST_TO_DEVICE else ctypes.c_void_p
        here = ctypes.c_void_p if number == _HOST_TO_DEVICE else ctypes.c_uint64
        if stream_ptr is None:
            self._ask(f"{name}_v2", there(dst), here(src), size)
        else:
            self._ask(f"{name}Async_v2", there(dst), here(src), size, ctypes.c_void_p(stream_ptr))

    def _ask(self, name: str, *arguments: Any) -> None:
        status = getattr(self._driver, name)(*arguments)
        if status:
            raise Unrunnable(f"the CUDA driver's {name} answered {status}")


def use_the_driver_without_a_runtime() -> None:
    """Let Polygraphy copy with libcudart where it finds it, and with the driver where it does not."""
    from polygraphy.cuda import cuda
    from polygraphy.exception import PolygraphyException
    from polygraphy.logger import G_LOGGER

    if cuda.G_CUDA is not None:
        return
    try:
        with G_LOGGER.verbosity(G_LOGGER.CRITICAL):  # it warns of what is mended here
            cuda.G_CUDA = cuda.Cuda()
    except (OSError, PolygraphyException):
        cuda.G_CUDA = DriverMemory()
