"""Exponential, softplus and sigmoid of vectors, for `eamamba.selective_scan.cpu.steps`.

In float32 their relative errors stay below 3e-7. Below, x and all `Value` are vectors of
any length; n is an integer stored as a float, and z = e^-|x|, so that 0 < z <= 1.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from llvmlite import ir

from eamamba.selective_scan.cpu.simd import Value, bits


class _Format(NamedTuple):
    integer: ir.IntType
    mantissa_bits: int
    smallest_exponent: int
    ln2_upper_bits: int
    exp_degree: int
    log_terms: int


_FORMATS = {
    32: _Format(ir.IntType(32), 23, -126, 15, exp_degree=5, log_terms=7),
    64: _Format(ir.IntType(64), 52, -1022, 32, exp_degree=13, log_terms=17),
}


@lru_cache
def exp2_polynomial(degree: int) -> tuple[float, ...]:
    """Return coefficients, highest first, of a polynomial close to 2^f for |f| <= 1/2.

    Value and slope at 0 are exact: a decay factor close to 1 is applied once per pixel,
    so a constant error there would add up over the image. The other nodes are those of
    a Chebyshev polynomial in f^2, stretched to have its first root at 0. The relative
    error is 1.3e-7 for degree 5.
    """
    m = (degree + 1) // 2
    roots = np.cos(np.pi * (np.arange(m) + 0.5) / m)[::-1]
    squares = 0.25 * (roots - roots[0]) / (1 - roots[0])
    nodes = np.sqrt(squares[1:])
    nodes = np.concatenate([-nodes, nodes])
    rest = (np.exp2(nodes) - 1 - np.log(2) * nodes) / nodes**2
    return (*np.polyfit(nodes, rest, len(nodes) - 1).tolist(), float(np.log(2)), 1.0)


def _power_of_two(whole: Value, fraction: Value, form: _Format) -> Value:
    """Return 2^(n + fraction); ``whole`` is n with the constant of `_rounding_constant` added."""
    first, *others = exp2_polynomial(form.exp_degree)
    power = fraction.like(first)
    for coefficient in others:
        power = power.times_plus(fraction, coefficient)
    # The low bits of ``whole`` are n; moved up they add n to the exponent of the power.
    exponent = whole.reinterpret(form.integer) << form.mantissa_bits
    return (power.reinterpret(form.integer) + exponent).reinterpret(power.element)


def _rounding_constant(form: _Format) -> float:
    """Return the number whose addition rounds to an integer, leaving it in the low bits."""
    return float(1.5 * 2**form.mantissa_bits)


def exp2(x: Value) -> Value:
    """Return 2^x for x <= 127; below the normal numbers, the smallest of them."""
    form = _FORMATS[bits(x.element)]
    x = x.at_least(form.smallest_exponent)
    whole = x + _rounding_constant(form)
    return _power_of_two(whole, x - (whole - _rounding_constant(form)), form)


def softplus_and_sigmoid(x: Value) -> tuple[Value, Value]:
    """Return log(1 + e^x) and its derivative, both with a small relative error for any x."""
    form = _FORMATS[bits(x.element)]
    negative = x.where_less(0, x, x.like(0) - x).at_least(form.smallest_exponent * np.log(2))
    # e^x with x = n ln 2 + r: n times the upper part of ln 2 has no rounding error.
    whole = negative.times_plus(x.like(1 / np.log(2)), _rounding_constant(form))
    upper = np.floor(np.log(2) * 2**form.ln2_upper_bits) / 2**form.ln2_upper_bits
    n = whole - _rounding_constant(form)
    rest = n.times_plus(x.like(-upper), negative)
    rest = n.times_plus(x.like(upper - np.log(2)), rest)
    z = _power_of_two(whole, rest * (1 / np.log(2)), form)
    # log(1 + z) = 2 artanh(w) = 2 (w + w^3 / 3 + w^5 / 5 + ...) with w <= 1/3
    w = z / (z + 2)
    square = w * w
    series = x.like(2 / (2 * form.log_terms - 1))
    for k in reversed(range(form.log_terms - 1)):
        series = series.times_plus(square, 2 / (2 * k + 1))
    softplus = w.times_plus(series, x.at_least(0))
    return softplus, x.where_less(0, z, x.like(1)) / (z + 1)
