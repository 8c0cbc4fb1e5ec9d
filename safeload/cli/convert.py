"""`safeload convert`: an accepted checkpoint becomes a .safetensors or .npz file, which holds tensors and no program.

A rejected file gives its reasons in short and exit 1; what cannot be read, or not be written whole, one line and exit 2.
"""

from __future__ import annotations

import os
import sys

import click

from safeload.cli.bar import bar
from safeload.cli.common import EXIT_ACCEPTED, EXIT_NO_VERDICT, check_encoding, complain, encoding_option, policy_option, project_policy, refuse, stdin_or_path
from safeload.errors import CheckpointError, SafeloadError
from safeload.escape import escape
from safeload.report.layout import plural

MAX_LEFT_OUT = 5  # of what was left out, by name
TORCH_FORMATS = "torch."  # how the formats of torch's own files begin


@click.command()
@click.argument("source", metavar="SOURCE|-")
@click.argument("target", metavar="TARGET")
@policy_option
@encoding_option
@click.option("--at", metavar="PATH", default="", help="Convert what stands at this path, as `state_dict`; names begin behind it.")
@click.option("--tensors-only", is_flag=True, help="Leave out what is no dense tensor, and say what.")
@click.option("--once", is_flag=True, help="Write one and the same tensor once; its other names go into the metadata.")
@click.option("--force", is_flag=True, help="Replace TARGET if it exists.")
def convert(source: str, target: str, policy: str | None, encoding: str, at: str, tensors_only: bool, once: bool, force: bool) -> int:
    """Write the tensors of a checkpoint as .safetensors or .npz.

    SOURCE is judged first, and what is rejected is not converted. The file is
    written beside TARGET, read again and compared, and then gets its name.
    Tensors that share memory are written in full for each of their names.

    Exit codes: 0 written; 1 SOURCE is rejected; 2 it cannot be read, or not be
    written without leaving something out.
    """
    check_encoding(encoding)
    from safeload.converting import FORMATS, planned, write

    format_ = FORMATS.get(os.path.splitext(target)[1].lower())
    if format_ is None:
        complain(f"{target}: the name says no format; it ends in {' or '.join(FORMATS)}")
        return EXIT_NO_VERDICT
    if once and format_ != "safetensors":
        complain("--once is for .safetensors: the other names of a tensor go into its metadata, and .npz has none")
        return EXIT_NO_VERDICT
    resolved = project_policy(policy, [source]).policy
    from safeload import api

    try:
        with api.open(stdin_or_path(source), "cpu", policy=resolved, encoding=encoding) as checkpoint:
            # transformers asks for the key `format`, and takes "pt" for what torch wrote
            metadata = {"format": "pt"} if format_ == "safetensors" and checkpoint.report.format.startswith(TORCH_FORMATS) else {}
            conversion = planned(checkpoint, at=at, tensors_only=tensors_only, once=once, metadata=metadata)
            with bar("converting", 2 * conversion.nbytes) as advance:
                size = write(conversion, target, format_, force=force, advance=advance)
    except CheckpointError as error:
        return refuse(error, source)
    except OSError as error:
        return refuse(error, os.fsdecode(error.filename) if error.filename else source)
    except SafeloadError as error:
        complain(f"{source}: {error}")
        return EXIT_NO_VERDICT
    sys.stdout.write(f"{escape(target)}: {plural(len(conversion.parts), 'tensor')}, {plural(size, 'byte')}\n")
    if conversion.shared:
        again = " --once writes them once" if format_ == "safetensors" else ""
        sys.stdout.write(f"{plural(conversion.shared, 'name')} of a tensor that has another name: each is written in full.{again}\n")
    for path, kind in conversion.left_out[:MAX_LEFT_OUT]:
        sys.stdout.write(f"left out: {escape(path)}, {kind}\n")
    if len(conversion.left_out) > MAX_LEFT_OUT:
        sys.stdout.write(f"left out: {len(conversion.left_out) - MAX_LEFT_OUT:,} more\n")
    return EXIT_ACCEPTED
