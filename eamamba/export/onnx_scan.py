"""The selective scan in standard ONNX operators.

ONNX has a loop over the first axis of tensors, ``Scan``. One iteration costs far more than the few
thousand multiplications of one pixel, so the sequence of each head is cut into P chunks that
advance in parallel, in T = ⌈L / P⌉ iterations:

1. Every chunk is scanned from h = 0 to its final state.
2. From chunk to chunk, the correct initial state follows: that of the previous chunk, decayed by
   exp(A ΣΔ), plus its final state.
3. Every chunk is scanned again from there, which gives its outputs.

There is no division and no positive exponent, so this is as accurate as the plain loop. The images
of a batch are additional chunks: M = batch · P lanes.

This module needs onnxscript; only an export imports it.
"""

from __future__ import annotations

from typing import Any

from onnxscript import FLOAT, INT32, INT64, graph, script
from onnxscript import opset18 as op
from onnxscript.values import Opset

LANE_STATES = 2**17
"""Maximum number of states of all lanes together: they have to stay in the cache."""
MOST_CHUNKS = 256

_DOMAIN = Opset("eamamba", 1)
_INT64 = 7  # ONNX's number for the type


def translate_scan(
    u: FLOAT,
    delta: FLOAT,
    A: FLOAT,
    B: FLOAT,
    C: FLOAT,
    D: FLOAT,
    order: INT32,
    backend: str,  # noqa: ARG001
    save_states: bool,  # noqa: ARG001
) -> Any:
    """Build the graph of the operator ``eamamba::selective_scan``, without its gradients.

    `torch.onnx` calls it with the operator's arguments.

    Returns
    -------
    tuple of two values
        ``y`` and, like the operator, a buffer of states; here it is empty.
    """
    K, channels, N = (int(size) for size in A.shape)
    fitting = max(LANE_STATES // (K * channels * N), 1)
    most = _ints(min(2 ** (fitting.bit_length() - 1), MOST_CHUNKS))
    batch, L = op.Shape(u, start=0, end=1), op.Shape(u, start=1, end=2)
    P = op.Max(op.Div(most, batch), _ints(1))
    T = op.Div(op.Sub(op.Add(L, P), _ints(1)), P)
    visits = _pixels_of_lanes(op.Cast(order, to=_INT64), K, batch, P, T)

    step_size = op.Softplus(_by_head(delta))
    rows = {
        "d": (step_size, 3),
        "x": (op.Mul(step_size, _by_head(u)), 3),
        "b": (_by_head(B), 2),
        "c": (_by_head(C), 2),
    }
    # (rows, channels or N) -> (T, K, M, …) -> (T, K, …, M), with an axis of 1 for the other
    lanes = {
        name: op.Unsqueeze(op.Transpose(op.Gather(x, visits), perm=[0, 1, 3, 2]), _ints(other))
        for name, (x, other) in rows.items()
    }
    y = ScanChunks(*lanes.values(), A, op.Concat(batch, P, axis=0))  # (T, K, channels, M)
    by_step = op.Reshape(op.Transpose(y, perm=[0, 1, 3, 2]), _ints(-1, channels))
    outputs = op.Gather(by_step, _lanes_of_pixels(order, K, batch, P, T))
    return op.Add(outputs, op.Mul(D, u)), op.Constant(value_floats=[0.0])


def _ints(*values: int) -> Any:
    return op.Constant(value_ints=list(values))


def _count(length: Any) -> Any:
    """Return 0 … length-1 for a length of shape (1,)."""
    zero, one = op.Constant(value_int=0), op.Constant(value_int=1)
    return op.Range(zero, op.Squeeze(length), one)


def _by_head(x: Any) -> Any:
    """Turn (b, L, K, …), the network's layout, into rows of (K, b, L)."""
    return op.Reshape(op.Transpose(x, perm=[2, 0, 1, 3]), _ints(-1, int(x.shape[-1])))


def _pixels_of_lanes(order: Any, K: int, batch: Any, P: Any, T: Any) -> Any:
    """Return the row of (K, b, L) that each lane reads in each iteration, (T, K, M).

    After the end of the sequence it is that of pixel 0, whose result is never read.
    """
    L = op.Shape(order, start=1, end=2)
    filled = op.Pad(order, op.Concat(_ints(0, 0, 0), op.Sub(op.Mul(T, P), L), axis=0))
    steps = op.Transpose(op.Reshape(filled, op.Concat(_ints(K), P, T, axis=0)), perm=[2, 0, 1])
    head = op.Unsqueeze(_count(_ints(K)), _ints(1))
    first = op.Mul(op.Add(op.Mul(head, batch), _count(batch)), L)  # (K, b)
    rows = op.Add(op.Unsqueeze(steps, _ints(2)), op.Unsqueeze(first, _ints(2)))  # (T, K, b, P)
    return op.Reshape(rows, op.Concat(T, _ints(K), op.Mul(batch, P), axis=0))


def _lanes_of_pixels(order: Any, K: int, batch: Any, P: Any, T: Any) -> Any:
    """Return the row of (T, K, M) with the result of each pixel and head, (b, L, K)."""
    pixels = op.Cast(order, to=_INT64)
    step = op.Expand(_count(op.Shape(order, start=1, end=2)), op.Shape(order))
    when = op.Transpose(op.ScatterElements(pixels, pixels, step, axis=1), perm=[1, 0])  # (L, K)
    iteration = op.Add(op.Mul(op.Mod(when, T), _ints(K)), _count(_ints(K)))
    lane = op.Add(op.Mul(iteration, op.Mul(batch, P)), op.Div(when, T))
    return op.Add(op.Unsqueeze(op.Mul(_count(batch), P), _ints(1, 2)), lane)


@script(_DOMAIN, default_opset=op)
def ScanChunks(d: FLOAT, x: FLOAT, b: FLOAT, c: FLOAT, A: FLOAT, batch_and_chunks: INT64) -> FLOAT:
    """Scan all lanes: d = Δ and x = Δ u (T, K, channels, 1, M), b and c (T, K, 1, N, M)."""
    first_axis = op.Constant(value_ints=[0])
    A4 = op.Unsqueeze(A, op.Constant(value_ints=[3]))
    lanes = op.ReduceProd(batch_and_chunks, keepdims=1)
    nothing = op.ConstantOfShape(op.Concat(op.Shape(A), lanes, axis=0))

    @graph()
    def advance(h, d_t, x_t, b_t):  # type: ignore[no-untyped-def]
        return op.Add(op.Mul(op.Exp(op.Mul(d_t, A4)), h), op.Mul(x_t, b_t))

    ends = op.Scan(nothing, d, x, b, num_scan_inputs=3, body=advance)

    # (K, channels, N, M) -> (P, K, channels, N, b)
    by_chunk = op.Concat(op.Shape(A), batch_and_chunks, axis=0)
    decay = op.Exp(op.Mul(op.ReduceSum(d, first_axis, keepdims=0), A4))
    decays = op.Transpose(op.Reshape(decay, by_chunk), perm=[4, 0, 1, 2, 3])
    ends_by_chunk = op.Transpose(op.Reshape(ends, by_chunk), perm=[4, 0, 1, 2, 3])

    @graph()
    def carry(start, decay_p, end_p):  # type: ignore[no-untyped-def]
        return op.Add(op.Mul(decay_p, start), end_p), op.Identity(start)

    batch = op.Slice(batch_and_chunks, first_axis, op.Constant(value_ints=[1]))
    zero = op.ConstantOfShape(op.Concat(op.Shape(A), batch, axis=0))
    _, starts_by_chunk = op.Scan(zero, decays, ends_by_chunk, num_scan_inputs=2, body=carry)
    starts = op.Reshape(op.Transpose(starts_by_chunk, perm=[1, 2, 3, 4, 0]), op.Shape(nothing))

    @graph()
    def visit(h, d_t, x_t, b_t, c_t):  # type: ignore[no-untyped-def]
        h_t = op.Add(op.Mul(op.Exp(op.Mul(d_t, A4)), h), op.Mul(x_t, b_t))
        return h_t, op.ReduceSum(op.Mul(h_t, c_t), op.Constant(value_ints=[2]), keepdims=0)

    _, y = op.Scan(starts, d, x, b, c, num_scan_inputs=4, body=visit)
    return y
