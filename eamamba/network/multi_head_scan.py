"""The Multi-Head Selective Scan Module (paper section 3.2, figure 3).

==============  ================  =========================================================
symbol          shape             meaning
==============  ================  =========================================================
C               ()                channels of the feature map
d_inner         ()                channels inside the module, ``expand`` C
L               ()                pixels of the map, height × width, in raster order
K               ()                heads; each scans the pixels in its own order
D               ()                channels of a head: d_inner / K, or d_inner when heads add up
N               ()                states of a channel
R               ()                rank of the projection to Δ, ⌈C / 16⌉
x               (b, h, w, C)      feature map, channels last
u               (b, L, K, D)      what the heads scan
delta           (b, L, K, D)      step size Δ before the softplus
A               (K, D, N)         decay rates, −exp(``A_logs``)
B, C            (b, L, K, N)      input and output projections (here C is no channel count)
Ds              (K, D)            skip weights
order           (K, L), int32     pixel that head k visits at step t
y               (b, L, K, D)      what the heads return, in raster order again
==============  ================  =========================================================
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from eamamba.config import MambaSettings
from eamamba.network.layers import Map, add_in_pieces, convolve
from eamamba.network.scan_order import scan_order
from eamamba.selective_scan import Backend, can_project, cpu, projected_scan, selective_scan


class CausalConv1d(nn.Conv1d):
    """Causal depthwise convolution over the raster sequence."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__(channels, channels, kernel, padding=kernel - 1, groups=channels)

    def convolve_map(self, x: Map) -> Map:
        """Convolve the map's pixels in raster order."""
        sequence = x.flatten(1, 2).transpose(1, 2)
        y = self(sequence)[..., : sequence.shape[-1]]
        return y.transpose(1, 2).reshape(x.shape)


class MultiHeadScan(nn.Module):
    """Split the channels into heads and scan each over the image in its own order.

    Parameters
    ----------
    channels : int
        C, the channels of the feature map.
    settings : MambaSettings
        Heads K, order, merge, states N, convolution, gate.

    Attributes
    ----------
    backend : str
        The selective scan's backend, ``auto`` by default.
    """

    def __init__(self, channels: int, settings: MambaSettings) -> None:
        super().__init__()
        self.settings = settings
        self.backend: Backend = "auto"
        K, N = settings.scan_count, settings.d_state
        self.d_inner = int(settings.expand * channels)
        self.merges_by_adding = settings.scan_merge_method == "add"
        D = self.d_inner if self.merges_by_adding else self.d_inner // K
        self.dt_rank = R = math.ceil(channels / 16)

        self.x_proj_weight = nn.Parameter(torch.empty(K, R + 2 * N, D))  # rows: Δ, B, C
        self.dt_projs_weight = nn.Parameter(torch.empty(K, D, R))
        self.dt_projs_bias = nn.Parameter(torch.empty(K, D))
        self.A_logs = nn.Parameter(torch.empty(K * D, N))
        self.Ds = nn.Parameter(torch.ones(K * D))
        branches = 1 if settings.disable_z_branch else 2
        self.in_proj = nn.Linear(channels, branches * self.d_inner, bias=False)
        self.conv: nn.Conv2d | CausalConv1d
        if settings.conv_2d:
            self.conv = nn.Conv2d(
                self.d_inner,
                self.d_inner,
                settings.d_conv,
                padding=settings.d_conv // 2,
                groups=self.d_inner,
            )
        else:
            self.conv = CausalConv1d(self.d_inner, settings.d_conv)
        self.out_norm = nn.LayerNorm(self.d_inner)
        self.out_proj = nn.Linear(self.d_inner, channels, bias=False)
        self._initialise_scan()

    def _initialise_scan(self) -> None:
        """Start A at −1 to −N and Δ log-uniform in [1e-3, 1e-1] (Gu and Dao 2023, section 3.6)."""
        if (
            self.A_logs.is_meta
        ):  # there is nothing to compute, but PyTorch would import its compiler
            return
        for weight in self.x_proj_weight:
            nn.init.kaiming_uniform_(weight, a=math.sqrt(5))  # nn.Linear's default
        limit = self.dt_rank**-0.5
        nn.init.uniform_(self.dt_projs_weight, -limit, limit)
        low, high = math.log(1e-3), math.log(1e-1)
        step = torch.empty_like(self.dt_projs_bias).uniform_(low, high).exp().clamp(min=1e-4)
        with torch.no_grad():
            self.A_logs.copy_(torch.arange(1, self.settings.d_state + 1).log())
            self.dt_projs_bias.copy_(step + torch.log(-torch.expm1(-step)))

    def forward(self, x: Map, added_to: Map) -> Map:
        """Scan ``x`` and add the result to another map."""
        batch, height, width, _ = x.shape
        rows = self.in_proj.weight[: self.d_inner]  # the others produce the gate
        scanned = self._convolve(F.linear(x, rows))  # (b, h, w, d_inner)
        # (b, L, K, D), or (b, L, 1, D) when all heads share the channels
        scanned = scanned.view(batch, height * width, -1, self.x_proj_weight.shape[-1])
        settings = self.settings
        order = scan_order(settings.scan_type, settings.scan_count, height, width, x.device)
        y = self._scan(scanned, order)  # (b, L, K, D)
        y = y.sum(2) if self.merges_by_adding else y.flatten(2)  # (b, L, d_inner)
        y = y.view(batch, height, width, self.d_inner)
        return add_in_pieces(added_to, self._gate_and_project, y, x)

    def load_kernel(self) -> None:
        """Load the kernel for inference on the CPU now, not when memory may have run short."""
        if self._projects_at_once and can_project(self.A_logs, self.backend):
            channels = self.x_proj_weight.shape[-1]
            cpu.load_projected(channels, self.settings.d_state, self.A_logs.dtype)

    def _gate_and_project(self, y: Map, x: Map) -> Map:
        """Normalise the scan's output, multiply it by the gate and project it back."""
        y = self.out_norm(y)
        if not self.settings.disable_z_branch:
            # a separate product, because a slice of one wide product would have to be copied
            y = y * F.silu(F.linear(x, self.in_proj.weight[self.d_inner :]))
        return self.out_proj(y)

    def _convolve(self, x: Map) -> Map:
        if isinstance(self.conv, CausalConv1d):
            return self.conv.convolve_map(x)
        return convolve(self.conv, x)

    def _scan(
        self, x: Float[Tensor, "b l heads d"], order: Int[Tensor, "k l"]
    ) -> Float[Tensor, "b l k d"]:
        """Activate, project every pixel to Δ, B, C and scan.

        ``x`` has one head if all heads share it.
        """
        K, _, D = self.x_proj_weight.shape
        N = self.settings.d_state
        A, skip = -torch.exp(self.A_logs).view(K, D, N), self.Ds.view(K, D)
        if self._projects_at_once and can_project(x, self.backend):
            return projected_scan(
                x.expand(-1, -1, K, -1), self._merged_weight(), self.dt_projs_bias, A, skip, order
            )
        u = F.silu(x).expand(-1, -1, K, -1)  # a view: heads that share channels copy nothing
        delta, B, C = self._project(u).split((D, N, N), -1)
        return selective_scan(u, delta, A, B, C, skip, order, self.backend)

    @property
    def _projects_at_once(self) -> bool:
        """Whether expanding the low-rank Δ projection to a D×D one costs no more.

        As in the paper's model, where D = 2R. Then a single matrix product computes Δ, B and C.
        """
        return self.x_proj_weight.shape[-1] <= 2 * self.dt_rank

    def _merged_weight(self) -> Float[Tensor, "k p d"]:
        """Return the weight of the product that computes Δ, B and C, (K, D + 2N, D)."""
        # (K, R, D) for Δ and (K, 2N, D) for B and C
        low_rank, rest = self.x_proj_weight.tensor_split((self.dt_rank,), 1)
        return torch.cat((self.dt_projs_weight @ low_rank, rest), 1)

    def _project(self, u: Float[Tensor, "b l k d"]) -> Float[Tensor, "b l k p"]:
        """Return Δ (before the softplus), B and C of every pixel and head, concatenated."""
        batch, length, K, _ = u.shape
        pixels = u.flatten(0, 1).transpose(0, 1)  # (K, batch L, D), a view
        bias = self.dt_projs_bias[:, None]  # (K, 1, D)
        if self._projects_at_once:
            bias = F.pad(bias, (0, 2 * self.settings.d_state))  # costs nothing in the product
            projected = torch.baddbmm(bias, pixels, self._merged_weight().transpose(1, 2))
        else:
            projected = pixels @ self.x_proj_weight.transpose(1, 2)
            narrow, wide = projected.tensor_split((self.dt_rank,), -1)
            delta = torch.baddbmm(bias, narrow, self.dt_projs_weight.transpose(1, 2))
            projected = torch.cat((delta, wide), -1)
        # (K, batch L, D + 2N) -> (batch, L, K, D + 2N), a view
        return projected.view(K, batch, length, -1).permute(1, 2, 0, 3)
