"""An address becomes a `ByteSource` that fetches what is read of it: `https://`, `s3://`, `hf://`, and only where the caller said `online`.

    uri      the grammar of addresses, and what of one may be shown
    http     one GET at a time over `http.client`: ranges, one version, redirects, time
    answers  what a server says in its headers, taken at its word only where it fits
    s3, hub  the same over s3fs, and over huggingface_hub, which are imported when they are needed
    store    the bytes that are here, and the source over them
    ahead    what to fetch before a zip is read, so that one by torch takes three requests
    opening  all of it together

Nothing here is imported by `import safeload`, nor by a scan of files. Refuses what is not pinned to one version, servers that contradict themselves, redirects
that leave TLS, and more bytes or requests than `Limits.remote_bytes` and `Limits.remote_requests` (SL901). `docs/remote.md` says how, and why not by fsspec.
"""
