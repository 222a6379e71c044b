"""Conditions on writes and deletes: what must be there, or must not."""

from dataclasses import dataclass

from forebay.model.generation import Fingerprint


@dataclass(frozen=True, slots=True)
class IfAbsent:
    """Only if there is nothing at the key (`If-None-Match: *`)."""


@dataclass(frozen=True, slots=True)
class IfUnchanged:
    """Only if the key still has this fingerprint (`If-Match`)."""

    fingerprint: Fingerprint


WriteCondition = IfAbsent | IfUnchanged
