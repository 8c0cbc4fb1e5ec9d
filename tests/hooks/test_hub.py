"""huggingface_hub, the real one, against a hub on the loopback: what a policy refuses is downloaded, and nobody gets its path."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

import safeload
from safeload import hooks
from tests.cli.inputs import EVIL, PLAIN, state_dict
from tests.hooks.fake_hub import hub

pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed: pip install 'safeload[hub]'")

FILES = {"config.json": b'{"a": 1}', "pytorch_model.bin": state_dict(), "sub/optimizer.pt": PLAIN, "README.md": b"# a model\n", "evil.bin": EVIL}
GOOD = [name for name in FILES if name != "evil.bin"]


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The arguments that every download has."""
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    with hub(FILES) as endpoint:
        yield {"repo_id": "org/model", "endpoint": endpoint, "cache_dir": str(tmp_path / "cache")}


def test_files_that_are_accepted_come_as_they_are(address: dict[str, str]) -> None:
    import huggingface_hub

    with hooks.huggingface_hub("checkpoint") as hook:
        for name in GOOD:
            with open(huggingface_hub.hf_hub_download(filename=name, **address), "rb") as stream:
                assert stream.read() == FILES[name]
    assert (hook.judged, hook.refused) == (len(GOOD), 0)


def test_a_file_that_is_rejected_gives_no_path_also_from_the_cache(address: dict[str, str]) -> None:
    import huggingface_hub

    for _ in range(2):
        with hooks.huggingface_hub(), pytest.raises(safeload.PolicyRejected, match="system"):
            huggingface_hub.hf_hub_download(filename="evil.bin", **address)
    path = huggingface_hub.hf_hub_download(filename="evil.bin", local_files_only=True, **address)  # it is there, and nothing guards it now
    with hooks.huggingface_hub(), pytest.raises(safeload.PolicyRejected):
        huggingface_hub.hf_hub_download(filename="evil.bin", local_files_only=True, **address)
    assert os.path.exists(path)


def test_a_snapshot_is_judged_whole(address: dict[str, str], tmp_path: Path) -> None:
    import huggingface_hub

    with hooks.huggingface_hub() as hook:
        folder = huggingface_hub.snapshot_download(allow_patterns=GOOD, **address)
        assert hook.judged == len(GOOD)  # once each
        assert sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()) == sorted(GOOD)
        into = tmp_path / "into"
        huggingface_hub.snapshot_download(allow_patterns=GOOD, local_dir=str(into), **address)  # what the library keeps there is no obstacle
        with pytest.raises(safeload.PolicyRejected) as caught:
            huggingface_hub.snapshot_download(**address)
        assert os.path.basename(str(caught.value.path)) == "evil.bin"


def test_names_that_were_taken_before_and_after_are_reached(address: dict[str, str]) -> None:
    """`from huggingface_hub import ...` in a library that was imported first, in one that comes later, and the methods of HfApi."""
    from huggingface_hub import HfApi, hf_hub_download

    before = types.ModuleType("before_the_hook")
    before.__dict__["download"] = hf_hub_download
    sys.modules["before_the_hook"] = before
    try:
        hook = hooks.huggingface_hub()
        from huggingface_hub import hf_hub_download as later

        api = HfApi(endpoint=address["endpoint"])
        for call in (before.__dict__["download"], later):
            with pytest.raises(safeload.PolicyRejected):
                call(filename="evil.bin", **address)
        with pytest.raises(safeload.PolicyRejected):
            api.hf_hub_download("org/model", "evil.bin", cache_dir=address["cache_dir"])
        with pytest.raises(safeload.PolicyRejected):
            api.snapshot_download("org/model", cache_dir=address["cache_dir"])
        hook.uninstall()
        assert before.__dict__["download"] is hf_hub_download
        assert os.path.exists(later(filename="evil.bin", **address))  # a copy that somebody kept does nothing any more
        hook.uninstall()
    finally:
        del sys.modules["before_the_hook"]


def test_hooks_add_up_and_leave_in_any_order(address: dict[str, str]) -> None:
    import huggingface_hub

    original = huggingface_hub.hf_hub_download
    first, second = hooks.huggingface_hub("inspect", records="allow"), hooks.huggingface_hub("weights-only")
    huggingface_hub.hf_hub_download(filename="pytorch_model.bin", **address)
    assert (first.judged, second.judged) == (1, 1)
    first.uninstall()
    huggingface_hub.hf_hub_download(filename="pytorch_model.bin", **address)
    assert (first.judged, second.judged) == (1, 2)
    second.uninstall()
    huggingface_hub.hf_hub_download(filename="evil.bin", **address)
    assert (first.judged, second.judged) == (1, 2)
    assert huggingface_hub.hf_hub_download is original


def test_a_dry_run_is_no_download(address: dict[str, str]) -> None:
    import huggingface_hub

    with hooks.huggingface_hub() as hook:
        try:
            info = huggingface_hub.hf_hub_download(filename="evil.bin", dry_run=True, **address)
        except TypeError:
            pytest.skip("this huggingface_hub has no dry run")
        assert not isinstance(info, str) and hook.judged == 0
