"""From YAML to checked settings."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from eamamba.config.errors import SettingsError, did_you_mean
from eamamba.config.task import Settings, TaskSettings

AnySettings = TypeVar("AnySettings", bound=BaseModel)

TOP_LEVEL = ("profile", "networks", "families", "tasks", "ablations", "profiles")
# Groups whose keys are names: they are replaced as a whole instead of merged.
_REPLACED = {"benchmarks", "training_set"}
# Settings that affect no result of the pipeline: how fast, how often, how to watch.
_IDLE_OF_DATA = {"workers", "cache"}
_IDLE_OF_TRAINING = {
    "checkpoint_every",
    "keep_last",
    "micro_batch",
    "validate_every",
    "validation_images",
}


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
        Name of the origin in error messages, such as ``params.yaml``.

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
    """List all problems in one line, each once even if it affects many tasks."""
    problems = []
    for detail in error.errors():
        # pydantic adds the architecture to the path; the file does not have it
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
    """Drop ``tasks.<name>`` from the path of a setting that comes from the profile's own groups."""
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
    """Return ``base`` updated with ``changes``, group by group.

    Benchmarks and training sets are replaced as a whole; so is a model by one of a different
    architecture, which has different settings.
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

    A task's settings are merged from several layers, later ones taking precedence: the profile's
    own groups (whose ``model`` may be the name of one of the file's ``networks``); the task's
    family; the task; if the profile is ``published``, what family and task list under that key; the
    profile's changes to the family and to the task. A variant of the ablation study is the first
    task with the profile's changes to all variants and then its own differences.

    Parameters
    ----------
    path : path
        A YAML file with ``profile``, ``networks``, ``families``, ``tasks``, ``ablations`` and
        ``profiles``.
    profile : str, optional
        Overrides the file's own choice and the variable ``EAMAMBA_PROFILE``.

    Raises
    ------
    SettingsError
        If the file cannot be read, or any setting is unknown or out of range.
    """
    source = Path(path).name
    tree = _read_yaml(Path(path))
    if not any(get_close_matches(str(key), TOP_LEVEL) for key in tree):
        # other programs also have a file of this name
        keys = ", ".join(map(str, list(tree)[:4])) or "nothing"
        raise SettingsError(
            f"{Path(path).absolute()}: settings of another program (found {keys}; expected "
            f"{', '.join(TOP_LEVEL)}); change to this project's folder, set EAMAMBA_ROOT to it, "
            "or name a file with --settings"
        )
    for key in sorted(tree.keys() - set(TOP_LEVEL), key=str):
        raise SettingsError(f"{source}: {key}: no such setting{did_you_mean(str(key), TOP_LEVEL)}")
    name = profile or os.environ.get("EAMAMBA_PROFILE") or str(tree.get("profile", "laptop"))
    profiles = _named_groups(tree.get("profiles"), f"{source}: profiles")
    if name not in profiles:
        raise SettingsError(f"{source}: profile: no profile {name!r}{did_you_mean(name, profiles)}")
    layers = _Layers(tree, name, profiles[name], source)
    chosen = {
        "profile": name,
        "tasks": {task: layers.complete(task) for task in layers.tasks},
        "ablations": layers.variants(),
        "seeds": layers.ablations.get("seeds", [0]),
        "studies": _group(layers.ablations.get("studies"), f"{source}: ablations.studies"),
    }
    try:
        return Settings.model_validate(chosen)
    except ValidationError as error:
        changes = {task: layers.changes(task) for task in layers.tasks}
        raise SettingsError(_explain(Settings, source, error, changes)) from None


def resolved(settings: TaskSettings) -> str:
    """Return all settings that affect a task's results, as YAML.

    Left out is what affects no result, such as ``data.workers`` and ``training.checkpoint_every``.
    """
    idle = {"data": _IDLE_OF_DATA, "training": _IDLE_OF_TRAINING}
    values = settings.model_dump(mode="json", exclude=idle)
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, default_flow_style=None)


class _Layers:
    """The layers of one profile's settings, before validation."""

    def __init__(
        self, tree: dict[str, Any], profile: str, groups: dict[str, Any], source: str
    ) -> None:
        self.profile, self.source = profile, source
        self.groups = dict(groups)
        self.published = self.groups.pop("published", False)
        networks = _named_groups(tree.get("networks"), f"{source}: networks")
        if isinstance(name := self.groups.get("model"), str):
            if name not in networks:
                known = did_you_mean(name, networks)
                raise SettingsError(
                    f"{source}: profiles.{profile}.model: no network {name!r}{known}"
                )
            self.groups["model"] = networks[name]
        self.tasks = _named_groups(tree.get("tasks"), f"{source}: tasks")
        self.families = _named_groups(tree.get("families"), f"{source}: families")
        self.ablations = _group(tree.get("ablations"), f"{source}: ablations")
        self.own_tasks = self._of_profile("tasks", self.tasks, "task")
        self.own_families = self._of_profile("families", self.families, "family")
        self.of_all_variants = self._of_profile("ablations", None, "")

    def _of_profile(
        self, key: str, known: dict[str, Any] | None, what: str
    ) -> dict[str, dict[str, Any]]:
        """Remove and return the profile's changes to groups; each must exist in ``known``."""
        where = f"{self.source}: {key}"
        found = self.groups.pop(key, None)
        if known is None:
            return _group(found, where)
        named = _named_groups(found, where)
        for name in named.keys() - known.keys():
            raise SettingsError(f"{where}: no {what} {name!r}{did_you_mean(name, known)}")
        return named

    def changes(self, task: str) -> dict[str, Any]:
        """Return how a task differs from the profile's own groups."""
        identity, family = self.tasks[task], self.tasks[task].get("family")
        if family is not None and family not in self.families:
            known = did_you_mean(str(family), self.families)
            raise SettingsError(f"{self.source}: tasks.{task}.family: no family {family!r}{known}")
        shared = self.families.get(str(family), {})
        layers = [shared, identity]
        if self.published:
            layers += [_group(layer.get("published"), self.source) for layer in layers]
        layers += [self.own_families.get(str(family), {}), self.own_tasks.get(task, {})]
        changes: dict[str, Any] = {}
        for layer in layers:
            changes = merge(changes, layer)
        return {key: value for key, value in changes.items() if key != "published"}

    def complete(self, task: str) -> dict[str, Any]:
        """Return all settings of one task."""
        settings = merge(self.groups, self.changes(task)) | {"task": task, "profile": self.profile}
        settings.setdefault("title", task.replace("_", " "))
        if isinstance(model := settings.get("model", {}), dict):
            settings["model"] = {"architecture": "eamamba"} | model
        return settings

    def variants(self) -> dict[str, dict[str, Any]]:
        """Return all settings of every variant of the ablation study."""
        where = f"{self.source}: ablations.variants"
        variants = _named_groups(self.ablations.get("variants"), where)
        if not variants:
            return {}
        base = merge(self.complete(next(iter(self.tasks))), self.of_all_variants)
        return {name: merge(base, changes) for name, changes in variants.items()}


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
        raise SettingsError(f"{path.absolute()}: not valid YAML: {line}") from None
    if not isinstance(tree, dict):
        raise SettingsError(f"{path.absolute()}: expected settings, got {type(tree).__name__}")
    return tree
