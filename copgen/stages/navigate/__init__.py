"""`copgen navigate`: Algorithm 1, and the steering walks that the paper compares it with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from copgen.runtime import later

if TYPE_CHECKING:
    from copgen.stages.navigate.settings import NavigateSettings
    from copgen.stages.navigate.stage import navigate
    from copgen.stages.navigate.steering import navigate_steering
    from copgen.stages.navigate.steering_settings import SteeringSettings

__all__ = ["NavigateSettings", "SteeringSettings", "navigate", "navigate_steering"]
__getattr__, __dir__ = later.names(
    __name__,
    {
        "settings": ["NavigateSettings"],
        "stage": ["navigate"],
        "steering": ["navigate_steering"],
        "steering_settings": ["SteeringSettings"],
    },
)
