"""Digests of files, by which a run knows again what it began with."""

import hashlib
from pathlib import Path

from synthagent.errors import InputError

BLOCK = 1 << 20


def sha256(*paths: Path) -> str:
    """Of the bytes of these files, one after the other, as hex. Raises `InputError`."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            with path.open("rb") as stream:
                while block := stream.read(BLOCK):
                    digest.update(block)
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    return digest.hexdigest()


def weights_sha256(path: Path) -> str:
    """Of a model's weights: a file, or the safetensors of a folder in the form of transformers."""
    return sha256(*sorted(path.glob("*.safetensors")) if path.is_dir() else [path])
