"""The one base class of commcheck's values."""

from msgspec import Struct


class Value(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False):
    """An immutable value: keyword-only, compared by content, strict about unknown fields when read."""
