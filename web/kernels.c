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

// ---- Functions of one vector; the polynomials are minimax fits with errors near 1e-7 ----

#define LOG2_E 1.44269504089f

// 2^x for x <= 126; smaller than 2^-126 counts as that
INLINE vec power_of_two(vec x) {
  x = wasm_f32x4_pmax(splat(-126.f), x);
  const vec whole = wasm_f32x4_nearest(x), rest = sub(x, whole);
  vec y = splat(1.327646679e-03f);
  y = multiply_add(y, rest, splat(9.675541293e-03f));
  y = multiply_add(y, rest, splat(5.550713290e-02f));
  y = multiply_add(y, rest, splat(2.402211972e-01f));
  y = multiply_add(y, rest, splat(6.931469671e-01f));
  y = multiply_add(y, rest, splat(1.000000072e+00f));
#ifdef __wasm_relaxed_simd__
  const vec exponent = wasm_i32x4_relaxed_trunc_f32x4(whole);
#else
  const vec exponent = wasm_i32x4_trunc_sat_f32x4(whole);
#endif
  return wasm_i32x4_add(y, wasm_i32x4_shl(exponent, 23)); // into the exponent bits of y
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

INLINE float sum_of(vec x) {
  x = add(x, wasm_i32x4_shuffle(x, x, 2, 3, 0, 1));
  x = add(x, wasm_i32x4_shuffle(x, x, 1, 0, 3, 2));
  return wasm_f32x4_extract_lane(x, 0);
}

// (sum of a, sum of b, sum of c, sum of d)
INLINE vec sums_of(vec a, vec b, vec c, vec d) {
  const vec ab = add(wasm_i32x4_shuffle(a, b, 0, 4, 1, 5), wasm_i32x4_shuffle(a, b, 2, 6, 3, 7));
  const vec cd = add(wasm_i32x4_shuffle(c, d, 0, 4, 1, 5), wasm_i32x4_shuffle(c, d, 2, 6, 3, 7));
  return add(wasm_i32x4_shuffle(ab, cd, 0, 1, 4, 5), wasm_i32x4_shuffle(ab, cd, 2, 3, 6, 7));
}

// ---- Products and norms of pixels ----

static int smaller(int a, int b) { return a < b ? a : b; }
static int round_up(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

// One panel of outputs of 4 pixels, or of 1: few enough sums to stay in registers.
INLINE void panel_of(const int pixels, const float *x, int x_stride, const float *w, int inputs,
                     const float *bias, int accumulate, float *y, int y_stride) {
  vec sums[4][2];
  UNROLL for (int p = 0; p < pixels; p++) {
    sums[p][0] = bias ? load(bias) : splat(0.f);
    sums[p][1] = bias ? load(bias + 4) : splat(0.f);
  }
  for (int k = 0; k < inputs; k++, w += PANEL) {
    const vec first = load(w), second = load(w + 4);
    UNROLL for (int p = 0; p < pixels; p++) {
      const vec value = wasm_v128_load32_splat(x + p * x_stride + k);
      sums[p][0] = multiply_add(value, first, sums[p][0]);
      sums[p][1] = multiply_add(value, second, sums[p][1]);
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
    const float *b = bias ? bias + n : 0;
    int p = 0;
    for (; p + 4 <= pixels; p += 4)
      panel_of(4, x + p * x_stride, x_stride, w, inputs, b, accumulate, y + p * y_stride + n,
               y_stride);
    for (; p < pixels; p++)
      panel_of(1, x + p * x_stride, x_stride, w, inputs, b, accumulate, y + p * y_stride + n,
               y_stride);
  }
}

// LayerNorm over the channels
EXPORT(normalise)(const float *x, const float *gain, const float *shift, int channels, float *y,
                  int pixels) {
  for (int p = 0; p < pixels; p++, x += channels, y += channels) {
    vec total = splat(0.f), squares = splat(0.f);
    for (int c = 0; c < channels; c += 4) total = add(total, load(x + c));
    const vec mean = splat(sum_of(total) / channels);
    for (int c = 0; c < channels; c += 4) {
      const vec centred = sub(load(x + c), mean);
      squares = multiply_add(centred, centred, squares);
    }
    const vec scale = splat(1.f / __builtin_sqrtf(sum_of(squares) / channels + 1e-5f));
    for (int c = 0; c < channels; c += 4) {
      const vec centred = mul(sub(load(x + c), mean), scale);
      store(y + c, multiply_add(centred, load(gain + c), load(shift + c)));
    }
  }
}

EXPORT(linear)(const float *x, const float *w, const float *bias, int inputs, int outputs,
               float *y, int pixels) {
  for (int start = 0; start < pixels; start += CHUNK)
    product(x + start * inputs, inputs, w, inputs, outputs, bias, 0, y + start * outputs, outputs,
            smaller(CHUNK, pixels - start));
}

// y = norm(x) W
EXPORT(norm_linear)(const float *x, const float *gain, const float *shift, const float *w,
                    int channels, float *y, int pixels, float *scratch) {
  for (int start = 0; start < pixels; start += CHUNK) {
    const int n = smaller(CHUNK, pixels - start);
    normalise(x + start * channels, gain, shift, channels, scratch, n);
    product(scratch, channels, w, channels, channels, 0, 0, y + start * channels, channels, n);
  }
}

// x += (out_norm(y) silu(norm1(x) Wz)) Wo: the gate and the end of the scan module
EXPORT(gate_and_project)(float *x, const float *y, const float *gain, const float *shift,
                         const float *out_gain, const float *out_shift, const float *gate,
                         const float *out, int channels, int pixels, float *scratch) {
  float *z = scratch + CHUNK * channels;
  for (int start = 0; start < pixels; start += CHUNK) {
    const int n = smaller(CHUNK, pixels - start);
    float *here = x + start * channels;
    normalise(here, gain, shift, channels, scratch, n);
    product(scratch, channels, gate, channels, channels, 0, 0, z, channels, n);
    normalise(y + start * channels, out_gain, out_shift, channels, scratch, n);
    for (int i = 0; i < n * channels; i += 4)
      store(scratch + i, mul(load(scratch + i), silu(load(z + i))));
    product(scratch, channels, out, channels, channels, 0, 1, here, channels, n);
  }
}

// x += (a b) W2 + b2 with [a b] = norm(x) W1 + b1, both `hidden` wide, a multiple of 8
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

// Copy a map into one with a frame of zeros, beside its height and width.
EXPORT(with_frame)(const float *x, float *y, int height, int width, int channels) {
  const int row = (width + 2) * channels;
  __builtin_memset(y, 0, sizeof(float) * (height + 2) * row);
  for (int r = 0; r < height; r++)
    __builtin_memcpy(y + (r + 1) * row + channels, x + r * width * channels,
                     sizeof(float) * width * channels);
}

// Depthwise 3×3 convolution of a framed map, w (9, channels), with bias and SiLU; `height` and
// `width` are those without the frame
EXPORT(depthwise_silu)(const float *x, const float *w, const float *bias, float *y, int height,
                       int width, int channels) {
  const int row = (width + 2) * channels;
  for (int r = 0; r < height; r++)
    for (int c = 0; c < channels; c += 4) {
      const float *column = x + r * row + c;
      float *result = y + r * width * channels + c;
      vec kernel[9], window[9]; // window: columns left, here and right of the pixel
      UNROLL for (int i = 0; i < 9; i++) kernel[i] = load(w + i * channels + c);
      UNROLL for (int i = 0; i < 3; i++) {
        window[3 * i + 1] = load(column + i * row);
        window[3 * i + 2] = load(column + channels + i * row);
      }
      column += 2 * channels;
      for (int t = 0; t < width; t++, column += channels, result += channels) {
        vec part[3];
        UNROLL for (int i = 0; i < 3; i++) {
          window[3 * i] = window[3 * i + 1];
          window[3 * i + 1] = window[3 * i + 2];
          window[3 * i + 2] = load(column + i * row);
          part[i] = i ? mul(window[3 * i], kernel[3 * i])
                      : multiply_add(window[0], kernel[0], load(bias + c));
          part[i] = multiply_add(window[3 * i + 1], kernel[3 * i + 1], part[i]);
          part[i] = multiply_add(window[3 * i + 2], kernel[3 * i + 2], part[i]);
        }
        store(result, silu(add(part[0], add(part[1], part[2]))));
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

EXPORT(copy)(const float *x, int x_stride, float *y, int y_stride, int channels, int pixels) {
  for (int p = 0; p < pixels; p++)
    __builtin_memcpy(y + p * y_stride, x + p * x_stride, sizeof(float) * channels);
}

EXPORT(accumulate)(float *x, const float *y, int n) {
  for (int i = 0; i < n; i += 4) store(x + i, add(load(x + i), load(y + i)));
}

EXPORT(leaky_relu)(float *x, float slope, int n) {
  for (int i = 0; i < n; i += 4)
    store(x + i, wasm_f32x4_max(load(x + i), mul(load(x + i), splat(slope))));
}

// ---- The selective scan ----

// h = 2^(Δ A) h + Δ u B, sum = C·h for one channel and 4 `vectors` states; A in units of log 2
INLINE void recur(const int vectors, int steps, const float *delta, const float *drive,
                  const float *B, const float *C, int stride, const float *A, float *h,
                  float *sums, int accumulate) {
  vec decay[4], state[4];
  UNROLL for (int i = 0; i < vectors; i++) {
    decay[i] = load(A + 4 * i);
    state[i] = load(h + 4 * i);
  }
  for (int t = 0; t < steps; t++, B += stride, C += stride, sums += 4) {
    const vec step = splat(delta[t]), input = splat(drive[t]);
    vec sum = accumulate ? load(sums) : splat(0.f);
    UNROLL for (int i = 0; i < vectors; i++) {
      const vec kept = power_of_two(mul(step, decay[i]));
      state[i] = multiply_add(kept, state[i], mul(input, load(B + 4 * i)));
      sum = multiply_add(state[i], load(C + 4 * i), sum);
    }
    store(sums, sum);
  }
  UNROLL for (int i = 0; i < vectors; i++) store(h + 4 * i, state[i]);
}

// One head of the scan, in the order of its path, projections to Δ, B and C included.
// u and y (length, channels), of which the head has D; w projects D to (D, states, states);
// A (D, states), states a multiple of 4.
EXPORT(scan)(const float *u, float *y, const int *order, int length, int channels, int head, int D,
             int states, const float *w, const float *bias, const float *A, const float *skip,
             float *scratch) {
  const int width = round_up(D + 2 * states, PANEL);
  float *h = scratch, *input = h + D * states, *output = input + CHUNK * D;
  float *projected = output + CHUNK * D, *sums = projected + CHUNK * width;
  float *delta = sums + CHUNK * 4, *drive = delta + CHUNK;
  const float *B = projected + D, *C = B + states;
  __builtin_memset(h, 0, sizeof(float) * D * states);
  u += head * D;
  y += head * D;
  for (int start = 0; start < length; start += CHUNK) {
    const int n = smaller(CHUNK, length - start);
    for (int t = 0; t < n; t++)
      for (int d = 0; d < D; d++) input[t * D + d] = u[order[start + t] * channels + d];
    product(input, D, w, D, width, bias, 0, projected, width, n);
    for (int d = 0; d < D; d++) {
      for (int t = 0; t < n; t += 4) { // past the end it computes with old values, never used
        const float *p = projected + t * width + d, *x = input + t * D + d;
        const vec step = softplus(wasm_f32x4_make(p[0], p[width], p[2 * width], p[3 * width]));
        store(delta + t, step);
        store(drive + t, mul(step, wasm_f32x4_make(x[0], x[D], x[2 * D], x[3 * D])));
      }
      for (int j = 0; j < states; j += 16) {
        const float *a = A + d * states + j;
        float *state = h + d * states + j;
        switch (states - j) {
        case 4: recur(1, n, delta, drive, B + j, C + j, width, a, state, sums, j > 0); break;
        case 8: recur(2, n, delta, drive, B + j, C + j, width, a, state, sums, j > 0); break;
        case 12: recur(3, n, delta, drive, B + j, C + j, width, a, state, sums, j > 0); break;
        default: recur(4, n, delta, drive, B + j, C + j, width, a, state, sums, j > 0);
        }
      }
      for (int t = 0; t < n; t += 4) {
        const float *s = sums + 4 * t, *x = input + t * D + d;
        float *to = output + t * D + d;
        vec sum = sums_of(load(s), load(s + 4), load(s + 8), load(s + 12));
        sum = multiply_add(wasm_f32x4_make(x[0], x[D], x[2 * D], x[3 * D]), splat(skip[d]), sum);
        to[0] = wasm_f32x4_extract_lane(sum, 0);
        to[D] = wasm_f32x4_extract_lane(sum, 1);
        to[2 * D] = wasm_f32x4_extract_lane(sum, 2);
        to[3 * D] = wasm_f32x4_extract_lane(sum, 3);
      }
    }
    for (int t = 0; t < n; t++)
      for (int d = 0; d < D; d++) y[order[start + t] * channels + d] = output[t * D + d];
  }
}
