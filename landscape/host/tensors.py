"""Weights by name in the files of other libraries: safetensors, read here, and PyTorch's own, read by PyTorch."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import ml_dtypes
import numpy as np

from landscape.records import InputError, plain

SUFFIXES = (".safetensors", ".pt", ".pth")
# The floating-point and whole numbers of the format, little-endian.
TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1"}


def tensors(path: Path) -> dict[str, np.ndarray]:
    """The arrays of such a file by name.

    Raises:
        InputError: It is damaged, holds something else than arrays by name, or PyTorch is needed and not installed.
    """
    return _safetensors(path) if path.suffix == ".safetensors" else _state_dict(path)


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    """8 bytes with the length of the header, the header in JSON, and the numbers."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > len(content) - 8:
        raise InputError(f"{path} is no safetensors file: its header is longer than the file.")
    try:
        header = json.loads(content[8 : 8 + length])
        body = content[8 + length :]
        return {name: _array(body, **said) for name, said in header.items() if name != "__metadata__"}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} is no safetensors file that can be read: {error}.") from error


def _array(body: bytes, dtype: str, shape: list[int], data_offsets: list[int]) -> np.ndarray:
    kind = np.dtype(ml_dtypes.bfloat16) if dtype == "BF16" else np.dtype(TYPES[dtype])
    begin, end = data_offsets
    if not 0 <= begin <= end <= len(body):
        raise ValueError("an array lies outside the file")
    return np.frombuffer(body[begin:end], kind).reshape(shape)


def _state_dict(path: Path) -> dict[str, np.ndarray]:
    """What `torch.save(model.state_dict(), path)` wrote. Only PyTorch reads it, and runs nothing that it says."""
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise InputError(
            f"{path} can be read where PyTorch is installed; or write the weights as safetensors or npz."
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file may raise anything
        raise InputError(f"{path} does not hold tensors alone; write torch.save(model.state_dict(), FILE).") from error
    if not isinstance(content, Mapping) or not all(isinstance(one, torch.Tensor) for one in content.values()):
        raise InputError(f"{path} must hold tensors by name; write torch.save(model.state_dict(), FILE).")
    return {str(name): plain(one) for name, one in content.items()}
