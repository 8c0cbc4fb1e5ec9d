"""Where each storage goes: numpy storages become device storages, by `map_location`.

`place.place` is the stage. `backend` is the narrow interface that a device must offer, `numpy_backend` and `cupy_backend` fill it; `locations` reads
location tags, `map_location` decides, `registry` holds what `register_package` adds. This is the only package that knows CuPy, and it
imports CuPy when a storage goes to CUDA and not before.
"""
