"""From YAML to checked settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from eamamba.config.errors import SettingsError, did_you_mean
from eamamba.config.task import PROFILES, Settings

AnySettings = TypeVar("AnySettings", bound=BaseModel)


def _known_keys(model: type[BaseModel]) -> set[str]:
    keys: set[str] = set()
    for name, field in model.model_fields.items():
        keys.add(name)
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                keys |= _known_keys(part)
    return keys


def validate(model: type[AnySettings], values: object, source: str) -> AnySettings:
    """Check ``values`` against a settings group.

    Parameters
    ----------
    model : type
        The settings class.
    values : object
        Usually a mapping, as read from YAML or from a checkpoint.
    source : str
        What to call the origin in an error, such as ``params.yaml``.

    Raises
    ------
    SettingsError
        One line listing every problem, with a suggestion for unknown keys.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise SettingsError("; ".join(_explain(model, source, e) for e in error.errors())) from None


def _explain(model: type[BaseModel], source: str, error: Any) -> str:
    tags = {"eamamba", "eamambasr"}  # pydantic names the chosen network in the path; readers do not
    path = [str(part) for part in error["loc"] if part not in tags]
    where = f"{source}: {'.'.join(path)}: " if path else f"{source}: "
    if error["type"] == "extra_forbidden":
        return f"{where}no such setting{did_you_mean(path[-1], _known_keys(model))}"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] in {"value_error", "missing"}:
        return where + message[0].lower() + message[1:]
    return f"{where}got {error['input']!r}; {message[0].lower()}{message[1:]}"


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``changes`` laid over it, group by group."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict) and key != "benchmarks"
        merged[key] = merge(old, value) if both else value  # type: ignore[arg-type]
    return merged


def load_settings(path: str | Path = "params.yaml", profile: str | None = None) -> Settings:
    """Read one profile of a settings file.

    Parameters
    ----------
    path : path
        A YAML file with ``profile`` and ``profiles``; each profile holds the groups
        ``model``, ``data``, ``training``, ``evaluation`` shared by its tasks, and
        ``tasks`` with each task's differences.
    profile : str, optional
        Overrides the file's own choice (and the variable ``EAMAMBA_PROFILE``).

    Raises
    ------
    SettingsError
        If the file cannot be read, or any setting is unknown or out of range.
    """
    source = Path(path).name
    tree = _read_yaml(Path(path))
    unknown = set(tree) - {"profile", "profiles"}
    if unknown:
        key = sorted(unknown)[0]
        raise SettingsError(
            f"{source}: {key}: no such setting{did_you_mean(key, ['profile', 'profiles'])}"
        )
    name = profile or os.environ.get("EAMAMBA_PROFILE") or tree.get("profile", "laptop")
    profiles = tree.get("profiles") or {}
    if name not in profiles or name not in PROFILES:
        known = [p for p in PROFILES if p in profiles]
        raise SettingsError(
            f"{source}: profile: no profile {name!r}{did_you_mean(str(name), known)}"
        )
    groups = dict(profiles[name])
    tasks = groups.pop("tasks", None) or {}
    full = {
        task: merge(groups, changes or {}) | {"task": task, "profile": name}
        for task, changes in tasks.items()
    }
    for settings in full.values():
        settings.setdefault("model", {}).setdefault("architecture", "eamamba")
    return validate(Settings, {"profile": name, "tasks": full}, source)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"cannot read {path}: {error.strerror}; run from the project's folder or name the file"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = " ".join(str(error).split())
        raise SettingsError(f"{path.name}: not valid YAML: {line}") from None
    if not isinstance(tree, dict):
        raise SettingsError(f"{path.name}: expected settings, got {type(tree).__name__}")
    return tree
