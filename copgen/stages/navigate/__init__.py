"""`copgen navigate`: Algorithm 1, and the steering walks that it is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from copgen.runtime import later

if TYPE_CHECKING:
    from copgen.stages.navigate.settings import NavigateSettings
    from copgen.stages.navigate.stage import navigate
    from copgen.stages.navigate.steering import navigate_steering
    from copgen.stages.navigate.steering_settings import SteeringSettings

__all__ = ["NavigateSettings", "SteeringSettings", "navigate", "navigate_steering"]
_HOMES = {
    "NavigateSettings": "settings",
    "SteeringSettings": "steering_settings",
    "navigate": "stage",
    "navigate_steering": "steering",
}


def __getattr__(name: str) -> Any:
    return later.attribute(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
