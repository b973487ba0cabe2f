"""What every section of a configuration is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

Loc = tuple[int | str, ...]

Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Factor = Annotated[float, Field(ge=0.0)]
Points = Annotated[float, Field(ge=0.0, le=100.0)]


class Section(BaseModel):
    """A part of a configuration: unknown keys are refused, values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    _places: Mapping[Loc, str] = PrivateAttr(default_factory=dict)

    def remember(self, places: Mapping[Loc, str]) -> None:
        """Keep where the keys stand in the text, for mistakes that only show when a stage runs."""
        self._places = places

    def place(self, *loc: int | str) -> str:
        """Where the key ``loc`` of this section stands, and its name: ``"p.yaml:4: `teacher.keras`"``."""
        dotted = f"`{'.'.join(map(str, loc))}`"
        found = next((self._places[loc[:end]] for end in range(len(loc), 0, -1) if loc[:end] in self._places), None)
        return dotted if found is None else f"{found}: {dotted}"
