"""Formats that take more than a container to read: a file's bytes become a `Document`, through the machine, the policy and the proofs.

One module for each. A container reader knows where bytes lie; these know what the streams and headers in them mean together. `safeload.judge` lists them.
"""
