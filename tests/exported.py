"""ONNX models in the tests: small networks, and a way to run what they were exported to."""

from __future__ import annotations

import onnx
import onnxruntime
import torch
from torch import Tensor

from eamamba.config import EAMambaSettings, EAMambaSRSettings, MambaSettings, ModelSettings
from eamamba.network import Network, build

# Between them they have every scan order, merge, mixer and norm, both convolutions, with and
# without a gate and a bias, and every number of heads.
VARIANTS: dict[str, ModelSettings] = {
    "diagonal": EAMambaSRSettings(
        dim=8, num_blocks=(1, 1), mamba_cfg=MambaSettings(d_state=3, d_conv=5)
    ),
    "raster": EAMambaSRSettings(
        dim=8,
        num_blocks=(1,),
        upscale=3,
        channel_mixer_type="ffn",
        mamba_cfg=MambaSettings(scan_type="raster", scan_merge_method="add", d_state=2),
    ),
    "zigzag": EAMambaSRSettings(
        dim=8,
        num_blocks=(1,),
        upscale=4,
        bias=True,
        channel_mixer_type="gdfn",
        mamba_cfg=MambaSettings(scan_type="zigzag", scan_count=4, disable_z_branch=True),
    ),
    "zorder": EAMambaSRSettings(
        dim=8,
        num_blocks=(1,),
        channel_mixer_type="cca",
        mamba_cfg=MambaSettings(scan_type="zorder", scan_count=2, conv_2d=False, d_conv=4),
    ),
    "hilbert": EAMambaSRSettings(
        dim=8,
        num_blocks=(1,),
        layernorm_type="BiasFree",
        mamba_cfg=MambaSettings(scan_type="hilbert", expand=2, d_state=1),
    ),
    "dual_pixel": EAMambaSettings(
        dim=8,
        num_blocks=(1, 0, 0, 1),
        num_refinement_blocks=0,
        inp_channels=6,
        dual_pixel_task=True,
        mamba_cfg=MambaSettings(scan_count=1, d_state=4),
    ),
}


def small_network(settings: ModelSettings) -> Network:
    """Return a network with weights that a trained one might have."""
    torch.manual_seed(0)
    return build(settings).eval().requires_grad_(False)


def run(proto: onnx.ModelProto, image: Tensor) -> Tensor:
    """Run an ONNX model on one core."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (restored,) = session.run(None, {"image": image.numpy()})
    return torch.from_numpy(restored)
