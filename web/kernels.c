// The network's kernels for WebAssembly: float32, maps of (pixels, channels), 128-bit vectors.
//
// Channels of every map are multiples of 4. Matrices come in panels of 8 outputs, [outputs / 8]
// [inputs][8], with zeros where the outputs are no multiple of 8; maps that a matrix writes have
// room for them. `scratch` holds what a piece of CHUNK pixels needs, so that it stays in the cache.
#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(#name))) void name
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")
#define CHUNK 64 // pixels that pass through a chain of products together
#define PANEL 8

typedef v128_t vec;

INLINE vec load(const float *p) { return wasm_v128_load(p); }
INLINE void store(float *p, vec x) { wasm_v128_store(p, x); }
INLINE vec splat(float x) { return wasm_f32x4_splat(x); }
INLINE vec add(vec a, vec b) { return wasm_f32x4_add(a, b); }
INLINE vec sub(vec a, vec b) { return wasm_f32x4_sub(a, b); }
INLINE vec mul(vec a, vec b) { return wasm_f32x4_mul(a, b); }

// a b + c; fused where the browser has relaxed SIMD
INLINE vec multiply_add(vec a, vec b, vec c) {
#ifdef __wasm_relaxed_simd__
  return wasm_f32x4_relaxed_madd(a, b, c);
#else
  return add(mul(a, b), c);
#endif
}

// ---- Functions of one vector; the polynomials are minimax fits ----

#define LOG2_E 1.44269504089f
#define LARGE 12582912.f // 1.5 2^23: a sum with it is rounded to a whole number

// A constant to be kept in a register; the compiler would write it anew in every turn of a loop.
INLINE vec constant(float x) {
  vec value = splat(x);
  __asm__("" : "+r"(value));
  return value;
}

// 2^(whole + rest), rest in [-1/2, 1/2], with whole + LARGE given. The relative error is at most
// 1.1e-5 times |rest|: it vanishes with the exponent, so that a scan that forgets slowly, with many
// factors near 1, is as precise as one that forgets at once.
INLINE vec power(vec shifted, vec rest) {
  vec y = constant(9.676044265e-03f);
  y = multiply_add(y, rest, constant(5.583830937e-02f));
  y = multiply_add(y, rest, constant(2.402216764e-01f));
  y = multiply_add(y, rest, constant(6.931367292e-01f));
  y = multiply_add(y, rest, constant(1.f));
  return wasm_i32x4_add(y, wasm_i32x4_shl(shifted, 23)); // into the exponent bits of y
}

// 2^(a b), for products in [-126, 126]
INLINE vec power_of_product(vec a, vec b) {
  const vec shifted = multiply_add(a, b, constant(LARGE));
  return power(shifted, multiply_add(a, b, sub(constant(LARGE), shifted)));
}

// 2^x for x <= 126; smaller than 2^-126 counts as that
INLINE vec power_of_two(vec x) {
  x = wasm_f32x4_pmax(splat(-126.f), x);
  const vec shifted = add(x, constant(LARGE));
  return power(shifted, sub(x, sub(shifted, constant(LARGE))));
}

// log(1 + e^x) = max(x, 0) + log(1 + z) with z = e^-|x| in [0, 1]
INLINE vec softplus(vec x) {
  const vec z = power_of_two(mul(wasm_f32x4_abs(x), splat(-LOG2_E)));
  vec y = splat(5.232623963e-03f);
  y = multiply_add(y, z, splat(-2.950495705e-02f));
  y = multiply_add(y, z, splat(7.822549309e-02f));
  y = multiply_add(y, z, splat(-1.366320688e-01f));
  y = multiply_add(y, z, splat(1.910598846e-01f));
  y = multiply_add(y, z, splat(-2.484297754e-01f));
  y = multiply_add(y, z, splat(3.331909622e-01f));
  y = multiply_add(y, z, splat(-4.999949311e-01f));
  y = multiply_add(y, z, splat(9.999999699e-01f));
  return multiply_add(y, z, wasm_f32x4_pmax(splat(0.f), x));
}

INLINE vec silu(vec x) {
  const vec inverse = power_of_two(wasm_f32x4_pmin(splat(126.f), mul(x, splat(-LOG2_E))));
  return wasm_f32x4_div(x, add(splat(1.f), inverse));
}

// The sum of each vector
INLINE vec sums_of(const vec x[4]) {
  const vec ab = add(wasm_i32x4_shuffle(x[0], x[1], 0, 4, 1, 5),
                     wasm_i32x4_shuffle(x[0], x[1], 2, 6, 3, 7));
  const vec cd = add(wasm_i32x4_shuffle(x[2], x[3], 0, 4, 1, 5),
                     wasm_i32x4_shuffle(x[2], x[3], 2, 6, 3, 7));
  return add(wasm_i64x2_shuffle(ab, cd, 0, 2), wasm_i64x2_shuffle(ab, cd, 1, 3));
}

// Each number of x as a vector
INLINE void splats_of(vec x, vec to[4]) {
  to[0] = wasm_i32x4_shuffle(x, x, 0, 0, 0, 0);
  to[1] = wasm_i32x4_shuffle(x, x, 1, 1, 1, 1);
  to[2] = wasm_i32x4_shuffle(x, x, 2, 2, 2, 2);
  to[3] = wasm_i32x4_shuffle(x, x, 3, 3, 3, 3);
}

static int smaller(int a, int b) { return a < b ? a : b; }

// The first channels of each pixel; the same ones of many pixels, one after the other, are faster
// than all of a pixel.
EXPORT(copy)(const float *x, int x_stride, float *y, int y_stride, int channels, int pixels) {
  for (int left = pixels; left > 0; left -= CHUNK, x += CHUNK * x_stride, y += CHUNK * y_stride) {
    const int n = smaller(CHUNK, left);
    int c = 0;
    for (; c + 4 <= channels; c += 4)
      for (int p = 0; p < n; p++) store(y + p * y_stride + c, load(x + p * x_stride + c));
    for (; c + 2 <= channels; c += 2)
      for (int p = 0; p < n; p++) {
        const vec pair = wasm_v128_load64_zero(x + p * x_stride + c);
        wasm_v128_store64_lane(y + p * y_stride + c, pair, 0);
      }
    for (int p = 0; p < n && c < channels; p++) y[p * y_stride + c] = x[p * x_stride + c];
  }
}

// ---- Products and norms of pixels ----

// One panel of outputs of up to 6 pixels, as many as keep all sums in registers. The sums pass
// through empty instructions, or the compiler would postpone half of them and run out of registers.
INLINE void panel_of(const int pixels, const float *x, int x_stride, int x_step, const float *w,
                     int inputs, const float *bias, int accumulate, float *y, int y_stride) {
  vec sums[6][2];
  UNROLL for (int p = 0; p < pixels; p++) {
    sums[p][0] = bias ? load(bias) : splat(0.f);
    sums[p][1] = bias ? load(bias + 4) : splat(0.f);
  }
#pragma clang loop unroll_count(4)
  for (int k = 0; k < inputs; k++, w += PANEL) {
    const vec first = load(w), second = load(w + 4);
    UNROLL for (int p = 0; p < pixels; p++) {
      const vec value = wasm_v128_load32_splat(x + p * x_stride + k * x_step);
      sums[p][0] = multiply_add(value, first, sums[p][0]);
      sums[p][1] = multiply_add(value, second, sums[p][1]);
      __asm__ volatile("" : "+r"(sums[p][0]), "+r"(sums[p][1]));
    }
  }
  UNROLL for (int p = 0; p < pixels; p++, y += y_stride) {
    store(y, accumulate ? add(load(y), sums[p][0]) : sums[p][0]);
    store(y + 4, accumulate ? add(load(y + 4), sums[p][1]) : sums[p][1]);
  }
}

// y = x W + bias, added to y on request; bias may be null
static void product(const float *x, int x_stride, const float *w, int inputs, int outputs,
                    const float *bias, int accumulate, float *y, int y_stride, int pixels) {
  for (int n = 0; n < outputs; n += PANEL, w += inputs * PANEL) {
    const float *b = bias ? bias + n : 0, *from = x;
    float *to = y + n;
    int left = pixels;
    for (; left >= 6; left -= 6, from += 6 * x_stride, to += 6 * y_stride)
      panel_of(6, from, x_stride, 1, w, inputs, b, accumulate, to, y_stride);
    for (; left >= 4; left -= 4, from += 4 * x_stride, to += 4 * y_stride)
      panel_of(4, from, x_stride, 1, w, inputs, b, accumulate, to, y_stride);
    for (; left > 0; left--, from += x_stride, to += y_stride)
      panel_of(1, from, x_stride, 1, w, inputs, b, accumulate, to, y_stride);
  }
}

// LayerNorm over the channels of 4 pixels, or of 1. Sums and squares are of differences from the
// first channel, which is never much further from the mean than the others are, so that their
// variance loses no precision.
INLINE void norm_of(const int pixels, const float *x, const float *gain, const float *shift,
                    int channels, float *y) {
  vec first[4], total[4], squares[4], scale[4], centre[4];
  UNROLL for (int p = 0; p < 4; p++) first[p] = total[p] = squares[p] = splat(0.f);
  UNROLL for (int p = 0; p < pixels; p++) first[p] = wasm_v128_load32_splat(x + p * channels);
  for (int c = 0; c < channels; c += 4)
    UNROLL for (int p = 0; p < pixels; p++) {
      const vec difference = sub(load(x + p * channels + c), first[p]);
      total[p] = add(total[p], difference);
      squares[p] = multiply_add(difference, difference, squares[p]);
    }
  const vec size = splat(channels), means = wasm_f32x4_div(sums_of(total), size);
  const vec variances = sub(wasm_f32x4_div(sums_of(squares), size), mul(means, means));
  splats_of(wasm_f32x4_div(splat(1.f), wasm_f32x4_sqrt(add(variances, splat(1e-5f)))), scale);
  splats_of(means, centre);
  UNROLL for (int p = 0; p < pixels; p++) centre[p] = mul(add(first[p], centre[p]), scale[p]);
  for (int c = 0; c < channels; c += 4) {
    const vec slope = load(gain + c), offset = load(shift + c);
    UNROLL for (int p = 0; p < pixels; p++) {
      const vec normal = sub(mul(load(x + p * channels + c), scale[p]), centre[p]);
      store(y + p * channels + c, multiply_add(normal, slope, offset));
    }
  }
}

EXPORT(normalise)(const float *x, const float *gain, const float *shift, int channels, float *y,
                  int pixels) {
  int p = 0;
  for (; p + 4 <= pixels; p += 4)
    norm_of(4, x + p * channels, gain, shift, channels, y + p * channels);
  for (; p < pixels; p++)
    norm_of(1, x + p * channels, gain, shift, channels, y + p * channels);
}

EXPORT(linear)(const float *x, const float *w, const float *bias, int inputs, int outputs,
               float *y, int pixels) {
  for (int start = 0; start < pixels; start += CHUNK)
    product(x + start * inputs, inputs, w, inputs, outputs, bias, 0, y + start * outputs, outputs,
            smaller(CHUNK, pixels - start));
}

// x += (out_norm(y) silu(norm1(x) Wz)) Wo: the gate and the end of the scan module
EXPORT(gate_and_project)(float *x, const float *y, int plane, int stride, int D,
                         const float *gain, const float *shift, const float *out_gain, const float *out_shift,
                         const float *gate, const float *out, int channels, int pixels,
                         float *scratch) {
  float *z = scratch + CHUNK * channels;
  for (int start = 0; start < pixels; start += CHUNK) {
    const int n = smaller(CHUNK, pixels - start);
    float *here = x + start * channels;
    normalise(here, gain, shift, channels, scratch, n);
    product(scratch, channels, gate, channels, channels, 0, 0, z, channels, n);
    for (int head = 0; head * D < channels; head++)
      copy(y + head * plane + start * stride, stride, scratch + head * D, channels, D, n);
    normalise(scratch, out_gain, out_shift, channels, scratch, n);
    for (int i = 0; i < n * channels; i += 4)
      store(scratch + i, mul(load(scratch + i), silu(load(z + i))));
    product(scratch, channels, out, channels, channels, 0, 1, here, channels, n);
  }
}

// x += (a b) W2 + b2 with [a b] = norm(x) W1 + b1, both `hidden` wide, a multiple of 4
EXPORT(mix_channels)(float *x, const float *gain, const float *shift, const float *w1,
                     const float *b1, const float *w2, const float *b2, int channels, int hidden,
                     int pixels, float *scratch) {
  float *expanded = scratch + CHUNK * channels;
  for (int start = 0; start < pixels; start += CHUNK) {
    const int n = smaller(CHUNK, pixels - start);
    float *here = x + start * channels;
    normalise(here, gain, shift, channels, scratch, n);
    product(scratch, channels, w1, channels, 2 * hidden, b1, 0, expanded, 2 * hidden, n);
    for (int p = 0; p < n; p++)
      for (float *a = expanded + p * 2 * hidden, *end = a + hidden; a < end; a += 4)
        store(a, mul(load(a), load(a + hidden)));
    product(expanded, 2 * hidden, w2, hidden, channels, b2, 1, here, channels, n);
  }
}

// ---- Convolutions ----

#define TILE 4  // side of the square of outputs that one transformed square of inputs gives
#define SIDE 6  // side of that square
#define AREA 36 // its pixels

// Bᵀ d of Winograd's F(4, 3), with the points 0, ±1, ±2 and infinity (Lavin and Gray, "Fast
// algorithms for convolutional neural networks", CVPR 2016)
INLINE void transform_inputs(const vec d[SIDE], vec *to, int step) {
  const vec four = splat(4.f), five = splat(-5.f);
  const vec a = multiply_add(splat(-4.f), d[2], d[4]), b = multiply_add(splat(-4.f), d[1], d[3]);
  const vec c = sub(d[4], d[2]), e = sub(d[3], d[1]), twice = add(e, e);
  to[0] = multiply_add(four, d[0], multiply_add(five, d[2], d[4]));
  to[step] = add(a, b);
  to[2 * step] = sub(a, b);
  to[3 * step] = add(c, twice);
  to[4 * step] = sub(c, twice);
  to[5 * step] = multiply_add(four, d[1], multiply_add(five, d[3], d[5]));
}

// Aᵀ m of the same
INLINE void transform_outputs(const vec m[SIDE], vec *to, int step) {
  const vec s = add(m[1], m[2]), p = sub(m[1], m[2]), q = add(m[3], m[4]), r = sub(m[3], m[4]);
  to[0] = add(m[0], add(s, q));
  to[step] = multiply_add(splat(2.f), r, p);
  to[2 * step] = multiply_add(splat(4.f), q, s);
  to[3 * step] = add(multiply_add(splat(8.f), r, p), m[5]);
}

// 4 channels of the square whose outputs start at (row, column), zeros beyond the map; position
// i of the result is at v + i * step
INLINE void transformed_square(const int inside, const float *x, int stride, int row, int column,
                               int height, int width, float *v, int step) {
  vec half[AREA], line[SIDE];
  for (int j = 0; j < SIDE; j++) {
    UNROLL for (int i = 0; i < SIDE; i++) {
      const int r = row + i - 1, c = column + j - 1;
      const int there = inside || (r >= 0 && r < height && c >= 0 && c < width);
      line[i] = there ? load(x + (r * width + c) * stride) : splat(0.f);
    }
    transform_inputs(line, half + j, SIDE);
  }
  for (int i = 0; i < SIDE; i++) {
    transform_inputs(half + i * SIDE, line, 1);
    UNROLL for (int j = 0; j < SIDE; j++, v += step) store(v, line[j]);
  }
}

// 3×3 convolution, of a map of which a pixel takes `stride` floats, in squares of 4×4 outputs: the
// inputs and outputs of `batch` squares are transformed, so that 36 products of their pixels with
// the transformed weights, [36] panels, take the place of 144. `scratch` has room for both.
EXPORT(convolve)(const float *x, int stride, const float *w, const float *bias, float *y,
                 int height, int width, int inputs, int outputs, int batch, float *scratch) {
  const int across = (width + TILE - 1) / TILE, squares = across * ((height + TILE - 1) / TILE);
  const int in_step = batch * inputs, out_step = batch * outputs;
  float *products = scratch + AREA * in_step;
  for (int start = 0; start < squares; start += batch) {
    const int n = smaller(batch, squares - start);
    for (int t = 0; t < n; t++) {
      const int row = (start + t) / across * TILE, column = (start + t) % across * TILE;
      float *v = scratch + t * inputs;
      if (row > 0 && column > 0 && row + TILE < height && column + TILE < width)
        for (int c = 0; c < inputs; c += 4)
          transformed_square(1, x + c, stride, row, column, height, width, v + c, in_step);
      else
        for (int c = 0; c < inputs; c += 4)
          transformed_square(0, x + c, stride, row, column, height, width, v + c, in_step);
    }
    for (int i = 0; i < AREA; i++)
      product(scratch + i * in_step, inputs, w + i * inputs * outputs, inputs, outputs, 0, 0,
              products + i * out_step, outputs, n);
    for (int t = 0; t < n; t++) {
      const int row = (start + t) / across * TILE, column = (start + t) % across * TILE;
      const int rows = smaller(TILE, height - row), columns = smaller(TILE, width - column);
      for (int c = 0; c < outputs; c += 4) {
        const float *m = products + t * outputs + c;
        const vec shift = bias ? load(bias + c) : splat(0.f);
        vec half[TILE * SIDE], line[SIDE];
        for (int j = 0; j < SIDE; j++) {
          UNROLL for (int i = 0; i < SIDE; i++) line[i] = load(m + (i * SIDE + j) * out_step);
          transform_outputs(line, half + j, SIDE);
        }
        for (int i = 0; i < rows; i++) {
          transform_outputs(half + i * SIDE, line, 1);
          float *to = y + ((row + i) * width + column) * outputs + c;
          for (int j = 0; j < columns; j++, to += outputs) store(to, add(line[j], shift));
        }
      }
    }
  }
}

// Depthwise 3×3 convolution, w (9, channels), of `pixels` neighbours in a row, with bias and SiLU;
// x has the pixel left of the first one in each of the three rows
INLINE void depthwise_silu(const float *const x[3], const float *w, const float *bias, float *y,
                           int pixels, int channels) {
  for (int c = 0; c < channels; c += 4) {
    vec kernel[9], window[9]; // window: columns left, here and right of the pixel
    UNROLL for (int i = 0; i < 9; i++) kernel[i] = load(w + i * channels + c);
    UNROLL for (int i = 0; i < 3; i++) {
      window[3 * i + 1] = load(x[i] + c);
      window[3 * i + 2] = load(x[i] + channels + c);
    }
    for (int t = 0; t < pixels; t++) {
      vec part[3];
      UNROLL for (int i = 0; i < 3; i++) {
        window[3 * i] = window[3 * i + 1];
        window[3 * i + 1] = window[3 * i + 2];
        window[3 * i + 2] = load(x[i] + (t + 2) * channels + c);
        part[i] = i ? mul(window[3 * i], kernel[3 * i])
                    : multiply_add(window[0], kernel[0], load(bias + c));
        part[i] = multiply_add(window[3 * i + 1], kernel[3 * i + 1], part[i]);
        part[i] = multiply_add(window[3 * i + 2], kernel[3 * i + 2], part[i]);
      }
      store(y + t * channels + c, silu(add(part[0], add(part[1], part[2]))));
    }
  }
}

// The inputs of the scan, silu(depthwise(norm(x) W)), in a plane of `plane` floats for each head,
// where a pixel takes `stride` floats, D rounded up to a multiple of 4. Three projected rows are
// kept at once.
EXPORT(project_inputs)(const float *x, const float *gain, const float *shift, const float *w,
                       const float *kernel, const float *bias, float *y, int plane, int stride,
                       int height, int width, int channels, int D, float *scratch) {
  const int row = (width + 2) * channels; // with a pixel of zeros at each end
  float *rows = scratch + CHUNK * channels;
  __builtin_memset(rows, 0, sizeof(float) * 4 * row); // the last one stays zero
  for (int r = 0; r <= height; r++) {
    for (int start = 0; start < width && r < height; start += CHUNK) {
      const int n = smaller(CHUNK, width - start);
      normalise(x + (r * width + start) * channels, gain, shift, channels, scratch, n);
      product(scratch, channels, w, channels, channels, 0, 0,
              rows + r % 3 * row + (start + 1) * channels, channels, n);
    }
    for (int start = 0; start < width && r > 0; start += CHUNK) {
      const int n = smaller(CHUNK, width - start);
      const float *around[3];
      UNROLL for (int i = 0; i < 3; i++) {
        const int from = r - 2 + i;
        around[i] = rows + (from < 0 || from == height ? 3 : from % 3) * row + start * channels;
      }
      depthwise_silu(around, kernel, bias, scratch, n, channels);
      for (int head = 0; head * D < channels; head++)
        copy(scratch + head * D, channels,
             y + head * plane + ((r - 1) * width + start) * stride, stride, D, n);
    }
  }
}

// ---- Resampling and sums of maps ----

// Space to depth: (H, W, C), `stride` floats a pixel, to (H/2, W/2, 4C)
EXPORT(unshuffle)(const float *x, int stride, float *y, int height, int width, int channels) {
  for (int r = 0; r < height; r++)
    for (int t = 0; t < width; t++, x += stride) {
      float *to = y + ((r / 2) * (width / 2) + t / 2) * 4 * channels + (r & 1) * 2 + (t & 1);
      for (int c = 0; c < channels; c++) to[4 * c] = x[c];
    }
}

// Depth to space: (H, W, s²C) to (sH, sW, C), `stride` floats a pixel
EXPORT(shuffle)(const float *x, float *y, int stride, int height, int width, int channels, int s) {
  for (int r = 0; r < height * s; r++)
    for (int t = 0; t < width * s; t++, y += stride) {
      const float *from = x + ((r / s) * width + t / s) * s * s * channels + r % s * s + t % s;
      for (int c = 0; c < channels; c++) y[c] = from[s * s * c];
    }
}

EXPORT(accumulate)(float *x, const float *y, int n) {
  for (int i = 0; i < n; i += 4) store(x + i, add(load(x + i), load(y + i)));
}

EXPORT(leaky_relu)(float *x, float slope, int n) {
  for (int i = 0; i < n; i += 4)
    store(x + i, wasm_f32x4_max(load(x + i), mul(load(x + i), splat(slope))));
}

// ---- The selective scan ----

// Rows of a 4×4 matrix become its columns.
INLINE void transpose(vec rows[4]) {
  const vec ab = wasm_i32x4_shuffle(rows[0], rows[1], 0, 4, 1, 5);
  const vec cd = wasm_i32x4_shuffle(rows[2], rows[3], 0, 4, 1, 5);
  const vec AB = wasm_i32x4_shuffle(rows[0], rows[1], 2, 6, 3, 7);
  const vec CD = wasm_i32x4_shuffle(rows[2], rows[3], 2, 6, 3, 7);
  rows[0] = wasm_i64x2_shuffle(ab, cd, 0, 2);
  rows[1] = wasm_i64x2_shuffle(ab, cd, 1, 3);
  rows[2] = wasm_i64x2_shuffle(AB, CD, 0, 2);
  rows[3] = wasm_i64x2_shuffle(AB, CD, 1, 3);
}

// h = 2^(Δ A) h + Δ u B, y += C·h for one channel and 4 `vectors` states; A in units of log 2, and
// `bounded` if no product with it is below -126. B and C of a step lie one after the other, `states`
// floats each.
INLINE void recur(const int vectors, const int bounded, int steps, const float *delta, const float *drive,
                  const float *B, int states, const float *A, float *h, float *y) {
  vec decay[2], state[2];
  UNROLL for (int i = 0; i < vectors; i++) {
    decay[i] = load(A + 4 * i);
    state[i] = load(h + 4 * i);
  }
  for (int t = 0; t < steps; t += 4) {
    vec sums[4];
    UNROLL for (int j = 0; j < 4; j++, B += 2 * states) {
      const vec step = wasm_v128_load32_splat(delta + t + j);
      const vec input = wasm_v128_load32_splat(drive + t + j);
      UNROLL for (int i = 0; i < vectors; i++) {
        const vec kept = bounded ? power_of_product(step, decay[i])
                                 : power_of_two(mul(step, decay[i]));
        state[i] = multiply_add(kept, state[i], mul(input, load(B + 4 * i)));
        const vec C = load(B + states + 4 * i);
        sums[j] = i ? multiply_add(state[i], C, sums[j]) : mul(state[i], C);
      }
    }
    store(y + t, add(load(y + t), sums_of(sums)));
  }
  UNROLL for (int i = 0; i < vectors; i++) store(h + 4 * i, state[i]);
}

// Δ = softplus(x W + bias) of 4 `vectors` steps and one channel; x (D, CHUNK)
INLINE void step_sizes(const int vectors, const float *x, const float *w, float bias, int D,
                       float *delta) {
  vec sums[4];
  UNROLL for (int i = 0; i < vectors; i++) sums[i] = splat(bias);
  for (int k = 0; k < D; k++) {
    const vec weight = wasm_v128_load32_splat(w + k);
    UNROLL for (int i = 0; i < vectors; i++)
      sums[i] = multiply_add(load(x + k * CHUNK + 4 * i), weight, sums[i]);
  }
  UNROLL for (int i = 0; i < vectors; i++) store(delta + 4 * i, softplus(sums[i]));
}

// One head of the scan, in the order of its path, projections to Δ, B and C included. u, D of
// `stride` floats a pixel, is overwritten with the result. w_delta (D, D); w projects D to (states,
// states); A (D, states), states a multiple of 4, as is the length. A piece of the path is
// transposed, (D, CHUNK).
EXPORT(scan)(float *u, int stride, const int *order, int length, int D, int states,
             const float *w_delta, const float *bias, const float *w, const float *A,
             const float *largest, const float *skip, float *scratch) {
  float *h = scratch, *x = h + D * states, *delta = x + CHUNK * stride, *drive = delta + CHUNK * D;
  float *B = drive + CHUNK * D;
  __builtin_memset(h, 0, sizeof(float) * D * states);
  for (int start = 0; start < length; start += CHUNK, order += CHUNK) {
    const int n = smaller(CHUNK, length - start);
    for (int t = 0; t < n; t += 4)
      for (int d = 0; d < D; d += 4) {
        vec rows[4];
        UNROLL for (int i = 0; i < 4; i++) rows[i] = load(u + order[t + i] * stride + d);
        transpose(rows);
        UNROLL for (int i = 0; i < 4; i++) store(x + (d + i) * CHUNK + t, rows[i]);
      }
    for (int panel = 0; panel < 2 * states; panel += PANEL)
      for (int t = 0; t < n; t += 4)
        panel_of(4, x + t, 1, CHUNK, w + panel * D, D, 0, 0, B + t * 2 * states + panel,
                 2 * states);
    for (int d = 0; d < D; d++) {
      float *to = delta + d * CHUNK;
      int t = 0;
      for (; t + 16 <= n; t += 16) step_sizes(4, x + t, w_delta + d * D, bias[d], D, to + t);
      for (; t < n; t += 4) step_sizes(1, x + t, w_delta + d * D, bias[d], D, to + t);
    }
    for (int d = 0; d < D; d++) {
      float *y = x + d * CHUNK;
      const float *steps = delta + d * CHUNK;
      vec over = splat(0.f);
      for (int t = 0; t < n; t += 4) {
        over = wasm_v128_or(over, wasm_f32x4_gt(load(steps + t), splat(largest[d])));
        store(drive + t, mul(load(y + t), load(steps + t)));
        store(y + t, mul(load(y + t), splat(skip[d])));
      }
      for (int j = 0; j < states; j += 8) {
        const float *a = A + d * states + j;
        float *state = h + d * states + j;
        if (wasm_v128_any_true(over))
          for (int i = j; i < smaller(states, j + 8); i += 4)
            recur(1, 0, n, steps, drive, B + i, states, a + i - j, state + i - j, y);
        else if (states - j == 4) recur(1, 1, n, steps, drive, B + j, states, a, state, y);
        else recur(2, 1, n, steps, drive, B + j, states, a, state, y);
      }
    }
    for (int t = 0; t < n; t += 4)
      for (int d = 0; d < D; d += 4) {
        vec rows[4];
        UNROLL for (int i = 0; i < 4; i++) rows[i] = load(x + (d + i) * CHUNK + t);
        transpose(rows);
        UNROLL for (int i = 0; i < 4; i++) store(u + order[t + i] * stride + d, rows[i]);
      }
  }
}
