"""Small pieces that several commands print."""

from __future__ import annotations

from rich.text import Text

from tfpwl.mix import TEACHER


def mix_text(mix: str) -> Text:
    """A mix with the teacher's groups in green."""
    return Text.assemble(*((side, "green" if side == TEACHER else "cyan") for side in mix))
