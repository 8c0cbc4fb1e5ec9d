"""The `refused` fixture of the hostile tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from .hostile import Refusal


@pytest.fixture
def refused(tmp_path: Path) -> Refusal:
    """Judge a hostile file: see `Refusal`."""
    return Refusal(tmp_path)
