"""Where a file comes from, as `[provenance]` of a policy asks: its digest is listed, or somebody the policy names has signed it. What does not hold is SL323.

Signatures are those of the OpenSSF model signing format, in `<file>.sig`, checked by its own library (extra `signing`), which is imported only when a policy
requires one, and which may fetch Sigstore's root of trust for an identity. It reads the file again, so its word alone would be about other bytes than those
that were judged, if the file changes in between (law 2). Therefore the digest that was signed is compared with that of the judged bytes, too, out of the same
copy of the signature that the library has checked. A digest is of the bytes at the time of judging.
"""

from __future__ import annotations

import base64
import json
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
    if judging.file.kept or not os.path.isfile(path):
        return "the policy requires a signature, and only one whole file, given by its path, can have one"
    name = f"{os.path.basename(path)}{SUFFIX}"
    try:
        with open(f"{path}{SUFFIX}", "rb") as stream:
            bundle = stream.read(MAX_SIGNATURE_BYTES + 1)
    except OSError as error:
        return f"the policy requires a signature, and {name} cannot be read: {error.strerror or error}"
    if len(bundle) > MAX_SIGNATURE_BYTES:
        return f"{name} is longer than the {MAX_SIGNATURE_BYTES:,} bytes that a signature may have"
    if _signed_digest(bundle) != judging.digest():
        return f"{name} is no signature of these bytes: it does not hold their sha256, as model-signing writes it for a single file"
    try:
        from model_signing import verifying
    except ImportError as error:
        return f"{INSTALL} ({error})"
    return _verify(verifying, os.path.realpath(path), bundle, signer)


def _signed_digest(bundle: bytes) -> str | None:
    """The sha256 of the one file that a bundle speaks of; None for a bundle that is none or speaks of something else. Nothing of it is believed yet."""
    try:
        statement = json.loads(base64.b64decode(json.loads(bundle)["dsseEnvelope"]["payload"], validate=True))
        (resource,) = statement["predicate"]["resources"]
        found = resource["digest"] if resource["algorithm"] == "sha256" else None
    except (ValueError, LookupError, TypeError, RecursionError):  # not JSON, not base64, not UTF-8, or not of this shape
        return None
    return found if isinstance(found, str) else None


def _verify(verifying: Any, path: str, bundle: bytes, signer: Signer) -> str | None:
    """Ask the library. Whatever it raises over a signature from the outside means that there is no valid one (law 3)."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            signature = _written(os.path.join(folder, "model.sig"), bundle)
            config = verifying.Config()
            if signer.key is not None:
                config.use_elliptic_key_verifier(public_key=_written(os.path.join(folder, "key.pem"), signer.key.encode("ascii", "replace")))
            else:
                config.use_sigstore_verifier(identity=signer.identity, oidc_issuer=signer.issuer)
            config.verify(path, signature)
        except Exception as error:  # noqa: BLE001 - the library's own and those of three others below it, none of which share a base
            return f"the signature does not hold: {type(error).__name__}: {error}"
    return None


def _written(path: str, data: bytes) -> str:
    with open(path, "wb") as stream:
        stream.write(data)
    return path
