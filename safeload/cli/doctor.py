"""`safeload doctor`: what a scan and a load here would run on, as lines to read or to put into a bug report. It opens no checkpoint and changes nothing.

Says nothing of the machine but Python, its platform and the libraries that safeload can use; a path only where a configuration or a policy file is in force.
"""

from __future__ import annotations

import platform
import sys
from importlib import metadata  # versions of distributions whose names stand below

import click

from safeload import __version__
from safeload.cli.common import EXIT_ACCEPTED, EXIT_NO_VERDICT, policy_option, project_policy
from safeload.cli.policy.common import emit_json, say, width
from safeload.escape import escape
from safeload.report.layout import columns, cut

REQUIRED = ("numpy", "ml_dtypes", "msgspec", "click", "rich", "fickling")
EXTRAS: tuple[tuple[str, str, str], ...] = (
    ("zstd", "zstandard", "files compressed with zstandard"),
    ("lz4", "lz4", "files compressed with lz4"),
    ("7z", "py7zr", "7z archives"),
    ("cuda12", "cupy-cuda12x", "arrays on CUDA 12"),
    ("cuda13", "cupy-cuda13x", "arrays on CUDA 13"),
    ("gds", "kvikio-cu12", "GPUDirect Storage"),
    ("torch", "torch", "safeload.torch"),
    ("signing", "model-signing", "policies that require a signature"),
    ("hub", "huggingface_hub", "hf:// addresses"),
    ("s3", "s3fs", "s3:// addresses"),
    ("dask", "distributed", "scans on a cluster"),
)
"""The extra, its distribution, and what it is for."""


@click.command()
@click.option("--format", "-f", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
@policy_option
def doctor(policy: str | None, format_: str) -> int:
    """Say what a scan here would run on: versions, extras, policy, CUDA.

    Exit codes: 0, 2 a library that safeload needs is missing, or the policy is wrong.
    """
    chosen = project_policy(policy, ["."])
    required = {name: _version(name) for name in REQUIRED}
    extras = {extra: _version(name) for extra, name, _ in EXTRAS}
    device = _cuda(extras)
    if format_ == "json":
        emit_json(
            {
                "safeload": __version__,
                "python": platform.python_version(),
                "platform": sys.platform,
                "machine": platform.machine(),
                "byteorder": sys.byteorder,
                "required": required,
                "extras": extras,
                "cuda": device,
                "policy": {"name": chosen.policy.name, "version": chosen.policy.version, "sha256": chosen.policy.sha256, "chosen_by": chosen.by},
            }
        )
    else:
        say(_lines(required, extras, device))
        by = f", chosen by {escape(chosen.by)}" if chosen.by else ""
        say(["", f"policy  {chosen.policy.name} {chosen.policy.version} (sha256 {(chosen.policy.sha256 or '')[:12]}...){by}"])
    return EXIT_ACCEPTED if all(required.values()) else EXIT_NO_VERDICT


def _lines(required: dict[str, str | None], extras: dict[str, str | None], device: str | None) -> list[str]:
    needed = columns((name, version or "missing") for name, version in required.items())
    optional = columns((extra, name, extras[extra] or "-", purpose) for extra, name, purpose in EXTRAS)
    head = f"safeload {__version__} on Python {platform.python_version()}, {sys.platform} {platform.machine()}, {sys.byteorder}-endian"
    cuda = ["", f"CUDA    {escape(device) if device else 'usable'}"] if device is not None else []
    return [cut(line, width()) for line in [head, "", *needed, "", "extras: pip install 'safeload[NAME,...]'", *optional, *cuda]]


def _version(name: str) -> str | None:
    """Of an installed distribution; None where there is none. Nothing is imported."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cuda(extras: dict[str, str | None]) -> str | None:
    """Why CUDA cannot be used, empty where it can, None without CuPy: nobody asked for it."""
    if not (extras["cuda12"] or extras["cuda13"]):
        return None
    from safeload.placement.cupy_backend import CUPY

    return CUPY.unavailable_because()
