"""Typed, strict settings: ``params.yaml`` is read here and nowhere else.

An unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

from eamamba.config.errors import EAMambaError, SettingsError
from eamamba.config.loading import load_settings, merge, validate
from eamamba.config.model import (
    ChannelMixer,
    EAMambaSettings,
    EAMambaSRSettings,
    MambaSettings,
    ModelSettings,
    ScanPattern,
    Strict,
)
from eamamba.config.task import (
    BUNDLED,
    PROFILES,
    DataSettings,
    EvaluationSettings,
    ProfileName,
    Settings,
    Stage,
    TaskSettings,
    TrainingSettings,
)

__all__ = [
    "BUNDLED",
    "PROFILES",
    "ChannelMixer",
    "DataSettings",
    "EAMambaError",
    "EAMambaSRSettings",
    "EAMambaSettings",
    "EvaluationSettings",
    "MambaSettings",
    "ModelSettings",
    "ProfileName",
    "ScanPattern",
    "Settings",
    "SettingsError",
    "Stage",
    "Strict",
    "TaskSettings",
    "TrainingSettings",
    "load_settings",
    "merge",
    "validate",
]
