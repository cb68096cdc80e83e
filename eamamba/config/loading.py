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

TOP_LEVEL = ("profile", "profiles", "tasks", "ablations")
# Groups whose keys are names: other sets take their place, they do not join them.
_REPLACED = {"benchmarks", "training_set"}


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
    """Return ``base`` with ``changes`` laid over it, group by group.

    Benchmarks and training sets are replaced as a whole, and so is a model by one of another
    architecture: it has other settings.
    """
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and key not in _REPLACED:
            kind = old.get("architecture", "eamamba")
            value = merge(old, value) if value.get("architecture", kind) == kind else value
        merged[key] = value
    return merged


def load_settings(path: str | Path = "params.yaml", profile: str | None = None) -> Settings:
    """Read one profile of a settings file.

    Parameters
    ----------
    path : path
        A YAML file with ``profile``, ``tasks``, ``ablations`` and ``profiles``. ``tasks`` says
        what each task is, in all profiles. A profile holds the groups ``model``, ``data``,
        ``training``, ``evaluation`` shared by its tasks, and ``tasks``: those it has, each
        with its differences. Where they disagree, a profile's task comes first, then the task
        itself, then the profile. ``ablations`` holds a ``task``, its ``variants``, each
        with its differences, and ``studies``, which of them are compared; a profile that has
        them says under ``ablations`` what all of them change.
    profile : str, optional
        Overrides the file's own choice (and the variable ``EAMAMBA_PROFILE``).

    Raises
    ------
    SettingsError
        If the file cannot be read, or any setting is unknown or out of range.
    """
    source = Path(path).name
    tree = _read_yaml(Path(path))
    for key in sorted(tree.keys() - set(TOP_LEVEL), key=str):
        raise SettingsError(f"{source}: {key}: no such setting{did_you_mean(str(key), TOP_LEVEL)}")
    name = profile or os.environ.get("EAMAMBA_PROFILE") or str(tree.get("profile", "laptop"))
    profiles = _group(tree.get("profiles"), f"{source}: profiles")
    known_profiles = [p for p in PROFILES if p in profiles]
    if name not in known_profiles:
        raise SettingsError(
            f"{source}: profile: no profile {name!r}{did_you_mean(name, known_profiles)}"
        )
    groups = dict(_group(profiles[name], f"{source}: {name}"))
    own = _named_groups(groups.pop("tasks", None), f"{source}: tasks")
    common = groups.pop("ablations", None)
    changes = _with_identity(own, tree, source)
    full = {task: _complete(name, task, groups, changes[task]) for task in changes}
    chosen: dict[str, Any] = {"profile": name, "tasks": full}
    if common is not None:
        chosen |= _ablations(full, _group(common, f"{source}: ablations"), tree, source)
    try:
        return Settings.model_validate(chosen)
    except ValidationError as error:
        raise SettingsError(_explain(Settings, source, error, changes)) from None


def _complete(
    profile: str, task: str, groups: dict[str, Any], changes: dict[str, Any]
) -> dict[str, Any]:
    """Return all settings of one task."""
    settings = merge(groups, changes) | {"task": task, "profile": profile}
    if isinstance(model := settings.get("model", {}), dict):
        settings["model"] = {"architecture": "eamamba"} | model
    return settings


def _with_identity(
    own: dict[str, dict[str, Any]], tree: dict[str, Any], source: str
) -> dict[str, dict[str, Any]]:
    """Return what sets each task of a profile apart: what it is, and what the profile changes."""
    if "tasks" not in tree:
        return own
    identities = _named_groups(tree["tasks"], f"{source}: tasks")
    for task in own.keys() - identities.keys():
        raise SettingsError(f"{source}: tasks: no task {task!r}{did_you_mean(task, identities)}")
    return {task: merge(identities[task], changes) for task, changes in own.items()}


def _ablations(
    tasks: dict[str, Any], common: dict[str, Any], tree: dict[str, Any], source: str
) -> dict[str, Any]:
    """Return every variant's settings (its task's, then what all change, then its own)."""
    group = _group(tree.get("ablations"), f"{source}: ablations")
    task = group.get("task")
    if task not in tasks:
        raise SettingsError(
            f"{source}: ablations.task: no task {task!r}{did_you_mean(str(task), tasks)}"
        )
    variants = _named_groups(group.get("variants"), f"{source}: ablations.variants")
    base = merge(tasks[task], common)
    return {
        "ablations": {name: merge(base, changes) for name, changes in variants.items()},
        "studies": _group(group.get("studies"), f"{source}: ablations.studies"),
    }


def _named_groups(value: object, where: str) -> dict[str, dict[str, Any]]:
    return {name: _group(group, f"{where}.{name}") for name, group in _group(value, where).items()}


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
