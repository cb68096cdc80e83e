"""The networks on the Hugging Face Hub: ``from_pretrained``, ``save_pretrained``, ``push_to_hub``.

>>> from eamamba import hub, load_model
>>> hub.EAMamba.of(load_model("derain"), task="derain").push_to_hub("me/derain")  # doctest: +SKIP
>>> model = hub.EAMamba.from_pretrained("me/derain")                              # doctest: +SKIP

A repository holds our own file ``model.safetensors``, which `eamamba.load_model` reads as well, the
settings for readers (``config.json``) and the card (``README.md``). Nothing in it is executed.
This module needs the extra ``hub``; everything else works without it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar, Self

import torch

from eamamba import network
from eamamba.cards import card_markdown, facts_of
from eamamba.checkpoint import CheckpointError, load_model, read_header, save_model
from eamamba.files import write_atomically

try:
    from huggingface_hub import ModelHubMixin, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        'eamamba.hub needs huggingface_hub: pip install "eamamba[hub]"', name="huggingface_hub"
    ) from error

WEIGHTS = "model.safetensors"


class OnHub(
    ModelHubMixin,
    library_name="eamamba",
    license="apache-2.0",
    pipeline_tag="image-to-image",
    tags=["image-restoration", "state-space-model"],
    paper_url="https://arxiv.org/abs/2506.22246",
):
    """Save and load our files through the mixin."""

    task: str | None = None
    """What the weights were trained for."""
    kind: ClassVar[type[network.EAMamba] | type[network.EAMambaSR]]

    @classmethod
    def of(cls, model: network.Network, task: str | None = None) -> Self:
        """Return a network with this class's methods that shares the weights of another.

        Parameters
        ----------
        model : EAMamba or EAMambaSR
        task : str, optional
            What the weights were trained for, such as ``derain``.

        Raises
        ------
        CheckpointError
            If the network is of the other class.
        """
        if not isinstance(model, cls.kind):
            raise CheckpointError(
                f"got a network {type(model).__name__}, expected {cls.kind.__name__}; "
                f"use eamamba.hub.{type(model).__name__}"
            )
        with torch.device("meta"):
            made: Any = cls(model.settings)
        made.load_state_dict(model.state_dict(), assign=True)
        made.task = task
        return made.train(model.training)

    def _save_pretrained(self, save_directory: Path) -> None:
        """Write weights, settings and card."""
        assert isinstance(self, network.EAMamba | network.EAMambaSR)
        save_model(self, save_directory / WEIGHTS, task=self.task)
        settings = self.settings.model_dump(mode="json")
        write_atomically(save_directory / "config.json", json.dumps(settings, indent=2).encode())
        facts = facts_of(save_directory / WEIGHTS).model_copy(update={"name": self.task or "model"})
        about = self._hub_mixin_info.model_card_data.to_yaml()
        card = f"---\n{about}\n---\n\n{card_markdown(facts, level=1)}"
        write_atomically(save_directory / "README.md", card.encode())

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **options: Any) -> Self:
        """Return the network in a folder or a repository, in eval mode.

        Parameters
        ----------
        pretrained_model_name_or_path : str or path
            A folder, or a repository such as ``me/derain``.
        **options
            ``revision``, ``token``, ``cache_dir``, ``force_download``, ``local_files_only``, as
            `huggingface_hub.ModelHubMixin.from_pretrained` takes them.

        Raises
        ------
        CheckpointError
            If there is no such repository or file, or it holds a network of the other class.
        """
        try:
            return super().from_pretrained(pretrained_model_name_or_path, **options)
        except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError) as error:
            reason = " ".join(str(error).split())
            raise CheckpointError(
                f"{pretrained_model_name_or_path}: no weights from the Hub ({reason})"
            ) from None

    @classmethod
    def _from_pretrained(  # type: ignore[override]
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
    ) -> Self:
        """Return the network in a folder or a repository, with no options beyond these."""
        file = Path(model_id, WEIGHTS)
        if not Path(model_id).is_dir():
            file = Path(
                hf_hub_download(
                    model_id,
                    WEIGHTS,
                    revision=revision,
                    cache_dir=cache_dir,
                    force_download=force_download,
                    local_files_only=local_files_only,
                    token=token,
                )
            )
        return cls.of(load_model(file), read_header(file)["task"])


class EAMamba(OnHub, network.EAMamba):
    """`eamamba.network.EAMamba` with ``from_pretrained``, ``save_pretrained``, ``push_to_hub``."""

    kind = network.EAMamba


class EAMambaSR(OnHub, network.EAMambaSR):
    """`eamamba.network.EAMambaSR` with the same methods."""

    kind = network.EAMambaSR
