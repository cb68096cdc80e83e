"""Typed, strict settings: ``params.yaml`` is read here and nowhere else.

An unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

from eamamba.config.data import (
    BUNDLED,
    DEGRADATION_KINDS,
    DataSettings,
    DegradationKind,
    LayoutName,
    Pool,
)
from eamamba.config.errors import EAMambaError, SettingsError
from eamamba.config.loading import load_settings, merge, resolved, validate
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
    EvaluationSettings,
    ProtocolSettings,
    Settings,
    Stage,
    TaskSettings,
    TrainingSettings,
)

__all__ = [
    "BUNDLED",
    "DEGRADATION_KINDS",
    "ChannelMixer",
    "DataSettings",
    "DegradationKind",
    "EAMambaError",
    "EAMambaSRSettings",
    "EAMambaSettings",
    "EvaluationSettings",
    "LayoutName",
    "MambaSettings",
    "ModelSettings",
    "Pool",
    "ProtocolSettings",
    "ScanPattern",
    "Settings",
    "SettingsError",
    "Stage",
    "Strict",
    "TaskSettings",
    "TrainingSettings",
    "load_settings",
    "merge",
    "resolved",
    "validate",
]
