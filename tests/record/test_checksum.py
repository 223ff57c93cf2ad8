"""The checksum of a file is that of its bytes, however large it is."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from dspytrack.record.checksum import sha256_of


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1])
def test_a_files_checksum_is_that_of_its_bytes(tmp_path: Path, size: int) -> None:
    data = bytes(index % 251 for index in range(size))
    (tmp_path / "file").write_bytes(data)
    assert sha256_of(tmp_path / "file") == hashlib.sha256(data).hexdigest()
