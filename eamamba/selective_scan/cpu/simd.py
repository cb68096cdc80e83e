"""Vector arithmetic for Numba kernels, written as LLVM instructions.

Loops over few channels do not vectorise well by themselves (with 8 channels a plain
Numba loop ran at a fifth of the speed of these vectors), and there is no compiler on
the user's machine. So the inner loops are emitted as operations on vectors of `LANES`
numbers; LLVM maps one to a register of AVX-512, two of AVX2 or four of NEON.

A function decorated with `emitted` is called from a Numba kernel like any other. It
runs when the kernel is compiled: Python loops in it are unrolled, Python numbers become
constants, and only `Value` operations end up in machine code.

`exp2` and `softplus_and_sigmoid`: in float32 their relative errors stay below 3e-7. There, x and
all `Value` are vectors of any length; n is an integer stored as a float, and z = e^-|x|, so that
0 < z <= 1.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 16
INDEX = ir.IntType(64)


class Value:
    """A number, an index or a vector of them in LLVM; operators emit instructions."""

    def __init__(self, builder: ir.IRBuilder, value: ir.Value) -> None:
        self.builder, self.value = builder, value

    @property
    def element(self) -> ir.Type:
        """Type of the number, or of each number of a vector."""
        return getattr(self.value.type, "element", self.value.type)

    @property
    def lanes(self) -> int:
        """Length of the vector."""
        return int(self.value.type.count)

    def like(self, number: float) -> Value:
        """Return ``number`` in every lane of a vector like this one."""
        kind = self.value.type
        constant = [number] * kind.count if isinstance(kind, ir.VectorType) else number
        return Value(self.builder, ir.Constant(kind, constant))

    def _operate(self, name: str, other: Value | float) -> Value:
        other = other if isinstance(other, Value) else self.like(other)
        prefix = "" if isinstance(self.element, ir.IntType) else "f"
        return Value(self.builder, getattr(self.builder, prefix + name)(self.value, other.value))

    def __add__(self, other: Value | float) -> Value:
        return self._operate("add", other)

    def __sub__(self, other: Value | float) -> Value:
        return self._operate("sub", other)

    def __mul__(self, other: Value | float) -> Value:
        return self._operate("mul", other)

    def __truediv__(self, other: Value | float) -> Value:
        return self._operate("div", other)

    def __lshift__(self, count: int) -> Value:
        return Value(self.builder, self.builder.shl(self.value, self.like(count).value))

    def times_plus(self, factor: Value, addend: Value | float) -> Value:
        """Return self * factor + addend, in one rounding where the CPU can."""
        addend = addend if isinstance(addend, Value) else self.like(addend)
        kind = self.value.type
        name = f"llvm.fmuladd.v{kind.count}f{bits(kind.element)}"
        function = cgutils.get_or_insert_function(
            self.builder.module, ir.FunctionType(kind, [kind] * 3), name
        )
        return Value(
            self.builder, self.builder.call(function, [self.value, factor.value, addend.value])
        )

    def where_less(self, bound: float, yes: Value, no: Value) -> Value:
        """Return ``yes`` in the lanes where self < bound, ``no`` in the others."""
        less = self.builder.fcmp_ordered("<", self.value, self.like(bound).value)
        return Value(self.builder, self.builder.select(less, yes.value, no.value))

    def at_least(self, bound: float) -> Value:
        """Return the maximum with ``bound``; NaN stays NaN."""
        return self.where_less(bound, self.like(bound), self)

    def reinterpret(self, element: ir.Type) -> Value:
        """Return the same bits as a vector of another type."""
        return Value(
            self.builder, self.builder.bitcast(self.value, ir.VectorType(element, self.lanes))
        )

    def shuffle(self, lanes: Sequence[int], other: Value | None = None) -> Value:
        """Return the chosen lanes; those of ``other`` are counted after those of self."""
        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), list(lanes))
        other = other or self.like(0)
        return Value(self.builder, self.builder.shuffle_vector(self.value, other.value, mask))


class Register:
    """A vector that changes between iterations of an emitted loop."""

    def __init__(self, start: Value) -> None:
        self.builder = start.builder
        self.slot = cgutils.alloca_once(self.builder, start.value.type)
        self.set(start)

    def get(self) -> Value:
        """Return the current content."""
        return Value(self.builder, self.builder.load(self.slot))

    def set(self, value: Value) -> None:
        """Replace the content."""
        self.builder.store(value.value, self.slot)


class Memory:
    """Numbers of an array, addressed by their offset from the first one."""

    def __init__(
        self,
        builder: ir.IRBuilder,
        pointer: ir.Value,
        element: ir.Type,
        shape: Sequence[Value],
        strides: Sequence[Value],
    ) -> None:
        self.builder, self.element, self.shape, self.strides = builder, element, shape, strides
        self.address = Value(builder, builder.ptrtoint(pointer, INDEX))

    def _pointer(self, offset: Value | int, kind: ir.Type) -> ir.Value:
        offset = offset if isinstance(offset, Value) else self.address.like(offset)
        address = self.address + offset * (bits(self.element) // 8)
        return self.builder.inttoptr(address.value, kind.as_pointer())

    def at(self, *indices: Value | int) -> Memory:
        """Return the memory that starts at ``array[indices]``."""
        address = self.address
        for index, stride in zip(indices, self.strides, strict=False):
            address = address + stride * index
        pointer = self.builder.inttoptr(address.value, self.element.as_pointer())
        rest = slice(len(indices), None)
        return Memory(self.builder, pointer, self.element, self.shape[rest], self.strides[rest])

    def load(self, offset: Value | int, lanes: int = LANES, valid: Value | None = None) -> Value:
        """Read ``lanes`` consecutive numbers; zeros after the first ``valid``."""
        kind = ir.VectorType(self.element, lanes)
        pointer, align = self._pointer(offset, kind), bits(self.element) // 8
        if valid is None:
            return Value(self.builder, self.builder.load(pointer, align=align, typ=kind))
        return self._masked("load", kind, [pointer], valid, [ir.Constant(kind, [0] * lanes)])

    def store(self, offset: Value | int, value: Value, valid: Value | None = None) -> None:
        """Write a vector, or its first ``valid`` numbers."""
        kind = value.value.type
        pointer, align = self._pointer(offset, kind), bits(self.element) // 8
        if valid is None:
            self.builder.store(value.value, pointer, align=align)
        else:
            self._masked("store", kind, [value.value, pointer], valid, [])

    def _masked(
        self,
        action: str,
        kind: ir.VectorType,
        before: list[ir.Value],
        valid: Value,
        after: list[ir.Value],
    ) -> Value:
        numbers = ir.VectorType(INDEX, kind.count)
        count = Value(self.builder, ir.Constant(numbers, ir.Undefined))
        first = ir.Constant(ir.IntType(32), 0)
        count.value = self.builder.insert_element(count.value, valid.value, first)
        count = count.shuffle([0] * kind.count)
        lane = ir.Constant(numbers, list(range(kind.count)))
        mask = self.builder.icmp_signed("<", lane, count.value)
        align = ir.Constant(ir.IntType(32), bits(self.element) // 8)
        arguments = [*before, align, mask, *after]
        function = cgutils.get_or_insert_function(
            self.builder.module,
            ir.FunctionType(
                kind if action == "load" else ir.VoidType(), [x.type for x in arguments]
            ),
            f"llvm.masked.{action}.v{kind.count}f{bits(self.element)}.p0",
        )
        return Value(self.builder, self.builder.call(function, arguments))

    def scalar(self, offset: Value | int) -> Value:
        """Read one number, an integer as an index."""
        number = self.builder.load(self._pointer(offset, self.element), typ=self.element)
        if isinstance(self.element, ir.IntType):
            number = self.builder.sext(number, INDEX)
        return Value(self.builder, number)

    def broadcast(self, offset: Value | int) -> Value:
        """Read one number into all lanes."""
        first = Value(self.builder, ir.Constant(ir.VectorType(self.element, LANES), ir.Undefined))
        index = ir.Constant(ir.IntType(32), 0)
        number = self.builder.insert_element(first.value, self.scalar(offset).value, index)
        return Value(self.builder, number).shuffle([0] * LANES)

    def zeros(self) -> Value:
        """Return a vector of zeros."""
        return Value(self.builder, ir.Constant(ir.VectorType(self.element, LANES), [0] * LANES))

    def prefetch(self, offset: Value | int) -> None:
        """Prefetch the cache line of a number that will be needed soon."""
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = cgutils.get_or_insert_function(
            self.builder.module,
            ir.FunctionType(ir.VoidType(), [byte, number, number, number]),
            "llvm.prefetch.p0",
        )
        pointer = self._pointer(offset, ir.IntType(8))
        self.builder.call(function, [pointer, number(0), number(3), number(1)])


def bits(element: ir.Type) -> int:
    """Return the size of a number."""
    if isinstance(element, ir.IntType):
        return int(element.width)
    return 32 if isinstance(element, ir.FloatType) else 64


@contextmanager
def loop(count: Value) -> Iterator[Value]:
    """Emit a loop; the body gets the number of the iteration, from 0."""
    with cgutils.for_range(count.builder, count.value) as pass_:
        yield Value(count.builder, pass_.index)


def partial_then_full(left: Value, lanes: int) -> Iterator[Value | None]:
    """Emit code twice: for rows with fewer than ``lanes`` numbers left, and for full rows.

    Yields the number that is left, then None. (Partial loads and stores of a vector are slow on
    some CPUs.)
    """
    builder = left.builder
    short = builder.icmp_signed("<", left.value, left.like(lanes).value)
    with builder.if_else(short) as (partial, full):
        with partial:
            yield left
        with full:
            yield None


def emitted(body: Callable[..., None]) -> Any:
    """Make a function that emits instructions callable from Numba code.

    ``body`` gets arrays as `Memory`, tuples as tuples of the same names, compile-time
    integers as int and other integers as `Value`.
    """

    def typed(typing_context, *kinds):  # type: ignore[no-untyped-def]
        del typing_context

        def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
            body(*map(_unwrapper(context, builder), signature.args, values))
            return context.get_dummy_value()

        return types.void(*kinds), generate

    # Numba matches arguments against this signature.
    names = ["typing_context", *inspect.signature(body).parameters]
    typed.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    )
    return intrinsic(prefer_literal=True)(typed)


def _unwrapper(context: Any, builder: ir.IRBuilder) -> Callable[[Any, Any], Any]:
    """Return the function that converts a Numba value for emitting code."""

    def unwrap(kind: Any, value: Any) -> Any:
        if isinstance(kind, types.IntegerLiteral):
            return kind.literal_value
        if isinstance(kind, types.Integer):
            return Value(builder, context.cast(builder, value, kind, types.int64))
        if isinstance(kind, types.BaseTuple):
            unpacked = cgutils.unpack_tuple(builder, value)
            parts = map(unwrap, kind.types, unpacked)  # type: ignore[attr-defined]
            named = isinstance(kind, types.BaseNamedTuple)
            return kind.instance_class(*parts) if named else tuple(parts)  # type: ignore[attr-defined]
        array = context.make_array(kind)(context, builder, value)
        shape, strides = (
            [Value(builder, x) for x in cgutils.unpack_tuple(builder, packed)]
            for packed in (array.shape, array.strides)
        )
        return Memory(builder, array.data, context.get_data_type(kind.dtype), shape, strides)

    return unwrap


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
