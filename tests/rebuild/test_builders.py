"""Each constructor of the closed table: it exists for every id that a policy may use, and builds from what real pickles hold."""

from __future__ import annotations

import argparse
import datetime
import pathlib
import pickle
import types
import uuid
from collections import Counter, OrderedDict, defaultdict, deque
from fractions import Fraction
from typing import Any

import pytest
from builds import agree
from hostile.hostile import stream

import safeload
from safeload.policy import contracts
from safeload.policy.resolve import load_policy
from safeload.policy.shipped import SHIPPED if False else __doc__  # noqa
