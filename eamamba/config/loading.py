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
        raise SettingsError(_explain(model, source, error, {})) from None


def _explain(
    model: type[BaseModel], source: str, error: ValidationError, tasks: dict[str, Any]
) -> str:
    """Return every problem in one line, each once though it may concern many tasks."""
    problems = []
    for detail in error.errors():
        # pydantic names the chosen network in the path; readers do not
        path = [part for part in detail["loc"] if part not in {"eamamba", "eamambasr"}]
        where = ": ".join((source, ".".join(str(p) for p in _as_written(path, tasks)))).strip(": ")
        problems.append(f"{where}: {_problem(model, path, detail)}")
    return "; ".join(dict.fromkeys(problems))


def _problem(model: type[BaseModel], path: list[Any], detail: Any) -> str:
    if detail["type"] == "extra_forbidden":
        return f"no such setting{did_you_mean(str(path[-1]), _known_keys(model))}"
    message = detail["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if detail["type"] in {"value_error", "missing"}:
        return message
    return f"got {detail['input']!r}; {message}"


def _as_written(path: list[Any], tasks: dict[str, Any]) -> list[Any]:
    """Leave ``tasks.<name>`` out of a path that its task took from the profile's own groups."""
    if len(path) < 3 or path[0] != "tasks":
        return path
    node = tasks.get(path[1])
    for part in path[2:]:
        if not isinstance(node, dict):
            return path
        if part not in node:
            return path[2:]
        node = node[part]
    return path


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
    for key in sorted(tree.keys() - {"profile", "profiles"}, key=str):
        known = did_you_mean(str(key), ["profile", "profiles"])
        raise SettingsError(f"{source}: {key}: no such setting{known}")
    name = profile or os.environ.get("EAMAMBA_PROFILE") or str(tree.get("profile", "laptop"))
    profiles = _group(tree.get("profiles"), f"{source}: profiles")
    known_profiles = [p for p in PROFILES if p in profiles]
    if name not in known_profiles:
        raise SettingsError(
            f"{source}: profile: no profile {name!r}{did_you_mean(name, known_profiles)}"
        )
    groups = dict(_group(profiles[name], f"{source}: {name}"))
    tasks = {
        task: _group(changes, f"{source}: tasks.{task}")
        for task, changes in _group(groups.pop("tasks", None), f"{source}: tasks").items()
    }
    full = {task: merge(groups, changes) for task, changes in tasks.items()}
    for task, settings in full.items():
        settings |= {"task": task, "profile": name}
        if isinstance(model := settings.get("model", {}), dict):
            settings["model"] = {"architecture": "eamamba"} | model
    try:
        return Settings.model_validate({"profile": name, "tasks": full})
    except ValidationError as error:
        raise SettingsError(_explain(Settings, source, error, tasks)) from None


def _group(value: object, where: str) -> dict[Any, Any]:
    if value is not None and not isinstance(value, dict):
        raise SettingsError(f"{where}: expected settings, got {value!r}")
    return value or {}


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
