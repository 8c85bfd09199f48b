"""How far the edits of steering go, as settings: read without torch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class EditRanges(BaseModel):
    """Ranges of the edits; the defaults are GenRep's for 256 pixels, as fractions of the side."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rotation_3d: float = Field(default=60.0, gt=0, lt=90, description="largest angle, degrees; 13 steps (GenRep: 60)")
    rotation_2d: float = Field(default=30.0, gt=0, le=180, description="largest angle, degrees; 13 steps (GenRep: 30)")
    zoom: float = Field(default=4.0, gt=1, description="largest factor, in and out (GenRep: 4)")
    shift: float = Field(
        default=100 / 256, gt=0, le=1, description="largest shift, fraction of the side; 21 steps (GenRep: 100 of 256)"
    )
    colour: float = Field(default=0.5, gt=0, le=2, description="largest offset, of pixels in [-1, 1] (GenRep: 0.5)")
