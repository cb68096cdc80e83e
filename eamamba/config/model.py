"""Settings of the networks; the fields are spelt as in the released checkpoints."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Strict(BaseModel):
    """A settings group: immutable, and no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


ScanPattern = Literal["raster", "diagonal", "zigzag", "zorder", "hilbert"]
ChannelMixer = Literal["simple", "ffn", "gdfn", "cca"]
Count = Annotated[int, Field(ge=0)]


class MambaSettings(Strict):
    """The multi-head selective scan module (paper section 3.2).

    ``scan_count`` is the number of heads K, ``d_state`` the states N per channel,
    ``expand`` the ratio d_inner / C; ``conv_2d`` chooses between a depthwise
    convolution over the image and a causal one over the raster sequence.
    """

    scan_type: ScanPattern = "diagonal"
    scan_count: Literal[1, 2, 4, 8] = 8
    scan_merge_method: Literal["concate", "add"] = "concate"
    disable_z_branch: bool = False
    d_state: int = Field(16, ge=1, le=256)
    d_conv: int = Field(3, ge=1)
    expand: float = Field(1, gt=0)
    conv_2d: bool = True

    @field_validator("scan_type", mode="before")
    @classmethod
    def _null_is_raster(cls, value: object) -> object:
        return "raster" if value is None else value

    @model_validator(mode="after")
    def _same_padding_needs_odd_kernel(self) -> MambaSettings:
        if self.conv_2d and self.d_conv % 2 == 0:
            raise ValueError(f"d_conv must be odd with conv_2d, got {self.d_conv}")
        return self


class _BlockSettings(Strict):
    """Settings of both networks: sizes and kinds of their blocks."""

    inp_channels: int = Field(3, ge=1)
    out_channels: int = Field(3, ge=1)
    dim: int = Field(64, ge=1)
    num_blocks: tuple[Count, ...] = (4, 6, 6, 7)
    ffn_expansion_factor: float = Field(2, gt=0)
    bias: bool = False
    layernorm_type: Literal["WithBias", "BiasFree"] = "WithBias"
    channel_mixer_type: ChannelMixer = "simple"
    checkpoint_percentage: float = Field(0.0, ge=0, le=1)
    mamba_cfg: MambaSettings = MambaSettings()

    @field_validator("channel_mixer_type", mode="before")
    @classmethod
    def _ignore_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _channels_can_be_split(self) -> _BlockSettings:
        mamba = self.mamba_cfg
        for channels in self._widths():
            d_inner = int(mamba.expand * channels)
            if mamba.scan_merge_method == "concate" and (not d_inner or d_inner % mamba.scan_count):
                raise ValueError(
                    f"expand x dim = {d_inner} channels cannot be split among "
                    f"{mamba.scan_count} heads; make it a multiple or use scan_merge_method: add"
                )
            hidden = int(channels * self.ffn_expansion_factor)
            if self.channel_mixer_type == "simple" and (not hidden or hidden % 2):
                raise ValueError(
                    f"ffn_expansion_factor x dim = {hidden} channels cannot be split in two "
                    "halves; the simple mixer needs an even number"
                )
        return self

    def _widths(self) -> list[int]:
        """Channels at each level of the network."""
        return [self.dim]


class EAMambaSettings(_BlockSettings):
    """The U-shaped network of the same-resolution tasks (paper section 3.1)."""

    architecture: Literal["eamamba"] = "eamamba"
    num_blocks: tuple[Count, Count, Count, Count] = (4, 6, 6, 7)
    num_refinement_blocks: int = Field(2, ge=0)
    dual_pixel_task: bool = False

    def _widths(self) -> list[int]:
        return [self.dim * 2**level for level in range(4)]

    @model_validator(mode="after")
    def _residual_needs_equal_channels(self) -> EAMambaSettings:
        if self.dim % 2:
            raise ValueError(f"dim must be even (down-sampling halves it), got {self.dim}")
        if not self.dual_pixel_task and self.inp_channels != self.out_channels:
            raise ValueError(
                f"inp_channels {self.inp_channels} and out_channels {self.out_channels} must be "
                "equal: the network adds its input image (only dual_pixel_task does not)"
            )
        return self


class EAMambaSRSettings(_BlockSettings):
    """The light super-resolution network."""

    architecture: Literal["eamambasr"] = "eamambasr"
    num_blocks: tuple[Count, ...] = (4, 4, 4, 4)
    ffn_expansion_factor: float = Field(1, gt=0)
    upscale: Literal[2, 3, 4] = 2
    mamba_cfg: MambaSettings = MambaSettings(d_state=10)


ModelSettings = Annotated[EAMambaSettings | EAMambaSRSettings, Field(discriminator="architecture")]
