"""Where a file comes from, as `[provenance]` of a policy asks: its digest is listed, or somebody the policy names has signed it. What does not hold is SL323.

Signatures are those of the OpenSSF model signing format, checked by its own library (extra `signing`), which is imported only when a policy requires one. It
reads the file a second time and the signature from `<file>.sig`; it decides nothing about the content, so no second reading of a stream or a container comes
of that. A digest and a signature are of the bytes at the time of judging.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any

from safeload.escape import escape
from safeload.formats.judging import Judging
from safeload.policy.model import Signer

SUFFIX = ".sig"
MAX_SIGNATURE_BYTES = 1 << 20  # bytes of a signature bundle; one over a single file has a few KiB
INSTALL = "checking signatures needs the model-signing library: pip install 'safeload[signing]'"


def check_provenance(judging: Judging) -> None:
    """Add a finding for each requirement of the policy that the file does not meet. Raises `CheckpointError` where it cannot be read."""
    required = judging.policy.provenance
    if required.digests is not None:
        for source in (judging.file, *judging.file.kept):
            digest = judging.digest() if source is judging.file else source.sha256()
            if digest not in required.digests:
                name = f"{escape(os.path.basename(source.name))} beside it: " if source is not judging.file else ""
                judging.find("SL323", f"{name}the sha256 {digest} is none that policy {judging.policy.name} lists")
    if required.signer is not None:
        problem = _signature_problem(judging, required.signer)
        if problem is not None:
            judging.find("SL323", escape(problem, 400))


def _signature_problem(judging: Judging, signer: Signer) -> str | None:
    """Why the file does not count as signed, or None where it does."""
    path = judging.file.name
    if judging.file.kept or not os.path.isfile(path) or os.path.getsize(path) != judging.file.size:
        return "the policy requires a signature, and only one whole file, given by its path, can have one"
    signature = f"{path}{SUFFIX}"
    try:
        size = os.path.getsize(signature)
    except OSError as error:
        return f"the policy requires a signature, and {os.path.basename(signature)} cannot be read: {error.strerror or error}"
    if size > MAX_SIGNATURE_BYTES:
        return f"{os.path.basename(signature)} is {size:,} bytes long; a signature has at most {MAX_SIGNATURE_BYTES:,}"
    try:
        from model_signing import verifying
    except ImportError:
        return INSTALL
    return _verify(verifying, path, signature, signer)


def _verify(verifying: Any, path: str, signature: str, signer: Signer) -> str | None:
    """Ask the library. Whatever it raises over a signature from the outside means that there is no valid one (law 3)."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            config = verifying.Config()
            if signer.key is not None:
                key = os.path.join(folder, "key.pem")
                with open(key, "w", encoding="ascii") as stream:
                    stream.write(signer.key)
                config.use_elliptic_key_verifier(public_key=key)
            else:
                config.use_sigstore_verifier(identity=signer.identity, oidc_issuer=signer.issuer)
            config.verify(path, signature)
        except Exception as error:  # noqa: BLE001 - the library's own and those of three others below it, none of which share a base
            return f"the signature does not hold: {type(error).__name__}: {error}"
    return None
