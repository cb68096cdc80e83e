// EAMamba and EAMambaSR on the kernels of kernels.c, from a weights file of the Python package.
// One module without dependencies, for pages, workers and Node.

const FORMAT = 'eamamba-1'; // as eamamba/checkpoint/weights.py writes it
const VECTOR = 4;
const PANEL = 8;
const CHUNK = 64;
const BAND = 1024; // pixels that pass through the second half of a block together
const WASM_PAGE = 65536;
const COLOURS = 4; // floats that a pixel of the image takes in the kernels, the last one unused
const SIDE = 6; // of the squares of kernels.c
const AREA = SIDE * SIDE;
const CACHED = 2 ** 17; // floats of transformed squares
const WINOGRAD = [
  [1 / 4, 0, 0],
  [-1 / 6, -1 / 6, -1 / 6],
  [-1 / 6, 1 / 6, -1 / 6],
  [1 / 24, 1 / 12, 1 / 6],
  [1 / 24, -1 / 12, 1 / 6],
  [0, 0, 1],
]; // G of F(4, 3)

const roundUp = (n, multiple) => Math.ceil(n / multiple) * multiple;

/**
 * Read a safetensors file that `eamamba.save_model` wrote.
 * @param {Uint8Array} bytes
 * @returns {{task: ?string, settings: object, has: function(string): boolean,
 *   read: function(string): {shape: number[], values: Float32Array}}}
 */
function readWeights(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = bytes.length < 8 ? Infinity : Number(view.getBigUint64(0, true));
  if (8 + length > bytes.length) {
    throw new Error('these weights are not a safetensors file, or a truncated one');
  }
  const { __metadata__: metadata, ...tensors } = JSON.parse(
    new TextDecoder().decode(bytes.subarray(8, 8 + length)),
  );
  if (!metadata?.[FORMAT]) {
    throw new Error('these weights have no network settings; expected a file of save_model');
  }
  const { task, settings } = JSON.parse(metadata[FORMAT]);
  const read = (name) => {
    if (!(name in tensors)) throw new Error(`these weights lack the tensor ${name}`);
    const { dtype, shape, data_offsets: [start, end] } = tensors[name];
    const data = bytes.slice(8 + length + start, 8 + length + end).buffer; // aligned, being new
    if (dtype === 'F32') return { shape, values: new Float32Array(data) };
    if (dtype === 'F16') return { shape, values: fromHalf(new Uint16Array(data)) };
    if (dtype === 'I8') {
      const scales = read(`${name}.int8_scale`).values;
      return { shape, values: scaleRows(new Int8Array(data), scales) };
    }
    throw new Error(`tensor ${name} holds ${dtype}; expected I8, F16 or F32`);
  };
  return { task, settings, has: (name) => name in tensors, read };
}

/** Single-precision values of half-precision ones, given as their bits; finite, as weights are. */
function fromHalf(bits) {
  // Moved into place, the exponent is too small by 112, also where the number is subnormal.
  const moved = Uint32Array.from(bits, (b) => ((b & 0x8000) << 16) | ((b & 0x7fff) << 13));
  return new Float32Array(moved.buffer).map((value) => value * 2 ** 112);
}

/** Rows of 8-bit integers, each multiplied by its scale, as eamamba/checkpoint/int8.py has them. */
function scaleRows(integers, scales) {
  const length = integers.length / scales.length;
  return Float32Array.from(integers, (value, i) => value * scales[Math.floor(i / length)]);
}

/** Refuse what these kernels do not support; everything else is computed as in Python. */
function checkSettings(settings) {
  const { mamba_cfg: mamba, dim } = settings;
  const allowed = [
    ['architecture', settings.architecture, ['eamamba', 'eamambasr']],
    ['inp_channels', settings.inp_channels, [3]],
    ['out_channels', settings.out_channels, [3]],
    ['layernorm_type', settings.layernorm_type, ['WithBias']],
    ['channel_mixer_type', settings.channel_mixer_type, ['simple']],
    ['dual_pixel_task', settings.dual_pixel_task ?? false, [false]],
    ['mamba_cfg.scan_type', mamba.scan_type, PATTERNS],
    ['mamba_cfg.scan_merge_method', mamba.scan_merge_method, ['concate']],
    ['mamba_cfg.disable_z_branch', mamba.disable_z_branch, [false]],
    ['mamba_cfg.conv_2d', mamba.conv_2d, [true]],
    ['mamba_cfg.d_conv', mamba.d_conv, [3]],
    ['mamba_cfg.expand', mamba.expand, [1]],
    ['dim modulo 8', dim % PANEL, [0]],
  ];
  for (const [name, value, choices] of allowed) {
    if (!choices.includes(value)) {
      throw new Error(
        `the browser cannot run a network with ${name} ${value}, only ${choices.join(' or ')}; ` +
          'use the Python package',
      );
    }
  }
}

/** Pattern -> sort key of a pixel, as eamamba/network/scan_order.py has them; raster needs none. */
const KEYS = {
  diagonal: (r, c, height) => (r + c) * height + r,
  zigzag: (r, c, height) =>
    (r + c) * height + ((r + c + height) % 2 === 1 ? r : height - 1 - r),
  zorder: (r, c) => {
    let key = 0;
    for (let bit = 1; bit <= Math.max(r, c); bit *= 2) {
      key += bit * bit * (((c & bit) > 0) + 2 * ((r & bit) > 0));
    }
    return key;
  },
  hilbert: (r, c, height, width) => {
    let [x, y, key] = [r, c, 0];
    for (let size = 2 ** Math.ceil(Math.log2(Math.max(height, width))) / 2; size >= 1; size /= 2) {
      const [right, upper] = [(x & size) > 0, (y & size) > 0];
      key += size * size * ((3 * right) ^ upper);
      [x, y] = [x & (size - 1), y & (size - 1)];
      if (right && !upper) [x, y] = [size - 1 - x, size - 1 - y];
      if (!upper) [x, y] = [y, x];
    }
    return key;
  },
};
export const PATTERNS = ['raster', ...Object.keys(KEYS)];

/**
 * The order in which each head visits the pixels.
 * @param {string} pattern - one of `PATTERNS`
 * @param {number} heads - 1, 2, 4 or 8
 * @returns {Int32Array} raster positions in visiting order, all heads one after another
 */
export function scanOrder(pattern, heads, height, width) {
  const length = height * width;
  const fill = (position) => new Int32Array(length).map((_, t) => position(t));
  const mirror = (order) => order.map((p) => p + width - 1 - 2 * (p % width));
  const turn = (order) => order.map((p) => length - 1 - p);
  const rows = fill((t) => t);
  const columns = fill((t) => (t % height) * width + Math.floor(t / height));
  const raster = [rows, rows.toReversed(), columns, columns.toReversed()];
  let orders = [...raster, ...raster.map(mirror)];
  if (pattern !== 'raster') {
    const key = new Float64Array(length).map((_, p) =>
      KEYS[pattern](Math.floor(p / width), p % width, height, width),
    );
    const base = rows.toSorted((p, q) => key[p] - key[q]);
    orders = [base, turn(base), mirror(base), turn(mirror(base)), ...raster];
  }
  const joined = new Int32Array(heads * length);
  orders.slice(0, heads).forEach((order, head) => joined.set(order, head * length));
  return joined;
}

/** Memory of the kernels: a stack of arrays of 4-byte numbers, known by their addresses. */
class Heap {
  constructor({ memory, __heap_base: base }) {
    this.memory = memory;
    this.top = roundUp(base.value, 16);
  }

  reserve(count) {
    const start = this.top;
    this.top = roundUp(start + 4 * count, 16);
    const lacking = this.top - this.memory.buffer.byteLength;
    try {
      if (lacking > 0) this.memory.grow(Math.ceil(lacking / WASM_PAGE));
    } catch {
      const megabytes = Math.ceil(this.top / 1e6);
      throw new Error(`not enough memory for the network (${megabytes} MB): choose smaller tiles`);
    }
    return start;
  }

  place(values, count = values.length) {
    const start = this.reserve(count);
    const here = new values.constructor(this.memory.buffer, start, count);
    here.set(values);
    here.fill(0, values.length);
    return start;
  }

  floats(start, count) {
    return new Float32Array(this.memory.buffer, start, count);
  }
}

/** Weights in the memory of the kernels, laid out as they read them. */
class Layers {
  constructor(heap, weights) {
    this.heap = heap;
    this.weights = weights;
    this.scratch = 0; // floats that the largest block needs
  }

  vector(name, count) {
    return this.heap.place(this.weights.read(name).values, count);
  }

  optional(name, count) {
    return this.weights.has(name) ? this.vector(name, count) : 0;
  }

  norm(name) {
    return [this.vector(`${name}.weight`), this.vector(`${name}.bias`)];
  }

  /** `count` matrices, the i-th with `at(output, input, i)`, in panels. */
  matrix(inputs, outputs, at, count = 1) {
    const size = inputs * roundUp(outputs, PANEL);
    const start = this.heap.reserve(count * size);
    for (let i = 0; i < count; i++) {
      const panels = this.heap.floats(start + 4 * i * size, size).fill(0);
      for (let n = 0; n < outputs; n++) {
        const first = (n - (n % PANEL)) * inputs + (n % PANEL);
        for (let k = 0; k < inputs; k++) panels[first + k * PANEL] = at(n, k, i);
      }
    }
    return start;
  }

  /** Rows `first` to `first + outputs` of a matrix or 1×1 convolution. */
  linear(name, first = 0, outputs = undefined) {
    const { shape: [rows, inputs], values } = this.weights.read(`${name}.weight`);
    return this.matrix(inputs, outputs ?? rows, (n, k) => values[(first + n) * inputs + k]);
  }

  /** A 3×3 convolution, transformed as kernels.c has it: G g Gᵀ for each pair of channels. */
  convolution(name) {
    const { shape: [channels, present], values } = this.weights.read(`${name}.weight`);
    const [inputs, outputs] = [roundUp(present, 4), roundUp(channels, PANEL)];
    const at = (n, k, i) => {
      if (k >= present) return 0;
      const [left, right] = [WINOGRAD[Math.floor(i / SIDE)], WINOGRAD[i % SIDE]];
      let sum = 0;
      for (let j = 0; j < 9; j++) {
        sum += left[Math.floor(j / 3)] * right[j % 3] * values[(n * present + k) * 9 + j];
      }
      return sum;
    };
    const w = this.matrix(inputs, channels, at, AREA);
    // as many squares at once as stay in the cache, in multiples of the 6 pixels of a product
    const fitting = Math.floor(CACHED / (AREA * (inputs + outputs)));
    const batch = Math.min(Math.max(fitting - (fitting % 6), 6), 30);
    this.scratch = Math.max(this.scratch, AREA * batch * (inputs + outputs));
    return { w, bias: this.optional(`${name}.bias`, outputs), inputs, outputs, channels, batch };
  }

  depthwise(name, channels) {
    const { values } = this.weights.read(`${name}.weight`);
    const w = values.map((_, i) => values[(i % channels) * 9 + Math.floor(i / channels)]);
    return [this.heap.place(w), this.vector(`${name}.bias`)];
  }

  mixer(name) {
    const { shape: [expanded, inputs], values } = this.weights.read(`${name}.project_in.weight`);
    const half = expanded / 2;
    const hidden = roundUp(half, VECTOR); // both halves are filled up with zeros
    const spread = (at) => (n, k) =>
      n % hidden < half ? at(Math.floor(n / hidden) * half + (n % hidden), k) : 0;
    const w1 = this.matrix(inputs, 2 * hidden, spread((n, k) => values[n * inputs + k]));
    let b1 = 0;
    if (this.weights.has(`${name}.project_in.bias`)) {
      const bias = this.weights.read(`${name}.project_in.bias`).values;
      b1 = this.matrix(1, 2 * hidden, spread((n) => bias[n]));
    }
    const out = this.weights.read(`${name}.project_out.weight`).values;
    const w2 = this.matrix(hidden, inputs, (n, k) => (k < half ? out[n * half + k] : 0));
    return { w1, b1, w2, b2: this.optional(`${name}.project_out.bias`), hidden };
  }

  /** The heads of a scan; Δ's low-rank product and A's exponential are computed here, once. */
  heads(name) {
    const project = this.weights.read(`${name}.x_proj_weight`);
    const expand = this.weights.read(`${name}.dt_projs_weight`);
    const A = this.weights.read(`${name}.A_logs`).values;
    const bias = this.weights.read(`${name}.dt_projs_bias`).values;
    const skip = this.weights.read(`${name}.Ds`).values;
    const [count, rows, D] = project.shape;
    const rank = expand.shape[2];
    const N = (rows - rank) / 2;
    const states = roundUp(N, 4);
    const make = (head) => {
      const row = (r, d) => project.values[(head * rows + r) * D + d];
      const projection = (n, d) => {
        const state = n % states;
        return state < N ? row(rank + (n < states ? 0 : N) + state, d) : 0;
      };
      const steps = new Float32Array(D * D);
      for (let i = 0; i < D * D; i++) {
        for (let r = 0; r < rank; r++) {
          steps[i] += expand.values[(head * D + Math.floor(i / D)) * rank + r] * row(r, i % D);
        }
      }
      const decay = new Float32Array(D * states);
      for (let i = 0; i < D * N; i++) {
        decay[Math.floor(i / N) * states + (i % N)] = -Math.exp(A[head * D * N + i]) * Math.LOG2E;
      }
      // the largest Δ for which no 2^(Δ A) leaves the normal numbers
      const largest = Float32Array.from({ length: D }, (_, d) =>
        -126 / Math.min(...decay.subarray(d * states, (d + 1) * states)),
      );
      const part = (values) => this.heap.place(values.subarray(head * D, (head + 1) * D));
      return [
        this.heap.place(steps),
        part(bias),
        this.matrix(D, 2 * states, projection),
        this.heap.place(decay),
        this.heap.place(largest),
        part(skip),
      ];
    };
    this.scratch = Math.max(this.scratch, D * states + CHUNK * (3 * roundUp(D, VECTOR) + 2 * states));
    return { D, stride: roundUp(D, VECTOR), states, all: Array.from({ length: count }, (_, head) => make(head)) };
  }

  block(name) {
    const channels = this.weights.read(`${name}.norm1.body.weight`).values.length;
    const mixer = this.mixer(`${name}.ffn`);
    const beside = Math.max(channels, 2 * mixer.hidden);
    this.scratch = Math.max(this.scratch, CHUNK * (channels + beside));
    return {
      channels,
      mixer,
      heads: this.heads(`${name}.mamba`),
      norm1: this.norm(`${name}.norm1.body`),
      norm2: this.norm(`${name}.norm2.body`),
      outNorm: this.norm(`${name}.mamba.out_norm`),
      into: this.linear(`${name}.mamba.in_proj`, 0, channels),
      gate: this.linear(`${name}.mamba.in_proj`, channels, channels),
      out: this.linear(`${name}.mamba.out_proj`),
      depthwise: this.depthwise(`${name}.mamba.conv`, channels),
    };
  }

  blocks(name, count) {
    return Array.from({ length: count }, (_, i) => this.block(`${name}.${i}`));
  }
}

/** A network with its weights; see `Network.create`. */
export class Network {
  /**
   * @param {BufferSource} wasm - kernels.wasm, or kernels_relaxed.wasm where `hasRelaxedSimd()`
   * @param {Uint8Array} file - a weights file
   * @returns {Promise<Network>}
   */
  static async create(wasm, file) {
    const weights = readWeights(file);
    checkSettings(weights.settings);
    const { instance } = await WebAssembly.instantiate(wasm);
    const kind = weights.settings.architecture === 'eamamba' ? UNet : SuperResolution;
    return new kind(instance.exports, weights);
  }

  constructor(kernels, weights) {
    this.kernels = kernels;
    this.heap = new Heap(kernels);
    this.settings = weights.settings;
    const layers = new Layers(this.heap, weights);
    this.layers = this.load(layers);
    this.scratchFloats = layers.scratch;
    this.loaded = this.heap.top;
  }

  /**
   * @param {Float32Array} image - (height, width, 3) in [0, 1]; sides multiples of `sizeMultiple`
   * @param {Float32Array} to - for the result, may be `image` where `upscale` is 1
   * @returns {Float32Array} (height * upscale, width * upscale, 3), not clipped
   */
  run(image, height, width, to = new Float32Array(3 * height * width * this.upscale ** 2)) {
    if (`${height}×${width}` !== this.size) {
      this.size = undefined; // while memory may run out
      this.heap.top = this.loaded;
      this.plan(height, width);
      this.size = `${height}×${width}`;
    }
    const colours = this.heap.floats(this.image, COLOURS * height * width);
    for (let p = 0; p < height * width; p++) {
      for (let i = 0; i < 3; i++) colours[COLOURS * p + i] = image[3 * p + i];
    }
    const output = this.compute(height, width); // 8 floats a pixel
    const pixels = height * width * this.upscale ** 2;
    const from = this.heap.floats(output, PANEL * pixels);
    for (let p = 0; p < pixels; p++) {
      for (let i = 0; i < 3; i++) to[3 * p + i] = from[PANEL * p + i];
    }
    return to;
  }

  order(height, width) {
    const { scan_type: pattern, scan_count: heads } = this.settings.mamba_cfg;
    const order = scanOrder(pattern, heads, height, width);
    const length = height * width;
    const steps = roundUp(length, VECTOR);
    const padded = new Int32Array(heads * steps).fill(length);
    for (let head = 0; head < heads; head++) {
      padded.set(order.subarray(head * length, (head + 1) * length), head * steps);
    }
    return this.heap.place(padded);
  }

  /** What every layer uses while it computes: a map, or the planes of its heads, and scratch. */
  reserveWork(floats, widestRow, channels, pixels) {
    const heads = this.settings.mamba_cfg.scan_count;
    const planes = heads * roundUp(channels / heads, VECTOR) * (pixels + 1);
    this.work = this.heap.reserve(Math.max(floats, planes));
    this.scratch = this.heap.reserve(this.scratchFloats + 4 * widestRow);
  }

  convolve(layer, x, stride, y, height, width) {
    const { w, bias, inputs, outputs, batch } = layer;
    this.kernels.convolve(
      x, stride, w, bias, y, height, width, inputs, outputs, batch, this.scratch,
    );
  }

  runBlocks(blocks, x, height, width, order) {
    const { kernels: k, work, scratch } = this;
    const pixels = height * width;
    const steps = roundUp(pixels, VECTOR);
    for (const b of blocks) {
      const C = b.channels;
      const { D, stride, states, all } = b.heads;
      const plane = stride * (pixels + 1);
      k.project_inputs(
        x, ...b.norm1, b.into, ...b.depthwise, work, plane, stride, height, width, C, D, scratch,
      );
      all.forEach((weights, head) => {
        const path = order + 4 * head * steps;
        k.scan(work + 4 * head * plane, stride, path, steps, D, states, ...weights, scratch);
      });
      const { w1, b1, w2, b2, hidden } = b.mixer;
      for (let start = 0; start < pixels; start += BAND) {
        const count = Math.min(BAND, pixels - start);
        const [here, scanned] = [x + 4 * C * start, work + 4 * stride * start];
        k.gate_and_project(
          here, scanned, plane, stride, D, ...b.norm1, ...b.outNorm, b.gate, b.out, C, count, scratch,
        );
        k.mix_channels(here, ...b.norm2, w1, b1, w2, b2, C, hidden, count, scratch);
      }
    }
  }
}

/** EAMamba: the four levels of eamamba/network/models.py. */
class UNet extends Network {
  sizeMultiple = 8;
  upscale = 1;

  load(layers) {
    const { num_blocks: blocks, num_refinement_blocks: refinement } = this.settings;
    const reduce = (level) => ({
      w: layers.linear(`reduce_chan_level${level}`),
      bias: layers.optional(`reduce_chan_level${level}.bias`),
    });
    return {
      embed: layers.convolution('patch_embed.proj'),
      encoders: [
        ...[1, 2, 3].map((level) => layers.blocks(`encoder_level${level}`, blocks[level - 1])),
        layers.blocks('latent', blocks[3]),
      ],
      down: ['1_2', '2_3', '3_4'].map((step) => layers.convolution(`down${step}.body.0`)),
      up: ['2_1', '3_2', '4_3'].map((step) => layers.convolution(`up${step}.body.0`)),
      reduce: [undefined, reduce(2), reduce(3)],
      decoders: [1, 2, 3].map((level) => layers.blocks(`decoder_level${level}`, blocks[level - 1])),
      refinement: layers.blocks('refinement', refinement),
      output: layers.convolution('output'),
    };
  }

  plan(height, width) {
    const { heap, settings: { dim } } = this;
    this.image = heap.reserve(COLOURS * height * width);
    const sizes = [0, 1, 2, 3].map((level) => [height >> level, width >> level]);
    const orders = sizes.map(([h, w]) => this.order(h, w));
    let end = 0;
    this.levels = sizes.map(([h, w], level) => {
      const channels = dim << level;
      const encoded = heap.reserve(channels * h * w);
      const decoded = level % 3 ? heap.reserve(channels * h * w) : 0;
      // where maps of a level are joined, those of the levels below have served
      const joined = heap.top;
      if (level < 3) heap.reserve(2 * channels * h * w);
      end = Math.max(end, heap.top);
      heap.top = joined;
      return { h, w, channels, pixels: h * w, order: orders[level], encoded, joined, decoded };
    });
    heap.top = end;
    const rows = this.levels.map(({ w, channels }) => channels * (w + 2));
    this.reserveWork(2 * dim * height * width, Math.max(2 * rows[0], ...rows), 2 * dim, height * width);
  }

  compute(height, width) {
    const { kernels: k, layers, levels, work } = this;
    this.convolve(layers.embed, this.image, COLOURS, levels[0].encoded, height, width);
    levels.forEach(({ h, w, order, encoded }, i) => {
      this.runBlocks(layers.encoders[i], encoded, h, w, order);
      if (i === 3) return;
      const down = layers.down[i];
      this.convolve(down, encoded, down.inputs, work, h, w);
      k.unshuffle(work, down.outputs, levels[i + 1].encoded, h, w, down.channels);
    });
    let x = levels[3].encoded;
    for (const i of [2, 1, 0]) x = this.decode(i, x);
    this.runBlocks(layers.refinement, x, height, width, levels[0].order);
    this.convolve(layers.output, x, layers.output.inputs, work, height, width);
    k.copy(this.image, COLOURS, x, PANEL, 3, height * width);
    k.accumulate(work, x, PANEL * height * width);
    return work;
  }

  /** Enlarge the map of the level below, join what the encoder had here, and run the decoder. */
  decode(i, below) {
    const { kernels: k, layers, levels, work } = this;
    const { h, w, channels, pixels, order, encoded, joined, decoded } = levels[i];
    const up = layers.up[i];
    this.convolve(up, below, up.inputs, work, h / 2, w / 2);
    k.shuffle(work, joined, 2 * channels, h / 2, w / 2, channels, 2);
    k.copy(encoded, channels, joined + 4 * channels, 2 * channels, channels, pixels);
    if (i) {
      const { w: weights, bias } = layers.reduce[i];
      k.linear(joined, weights, bias, 2 * channels, channels, decoded, pixels);
    }
    const x = i ? decoded : joined;
    this.runBlocks(layers.decoders[i], x, h, w, order);
    return x;
  }
}

/** EAMambaSR: residual groups at the size of the input, then enlargement. */
class SuperResolution extends Network {
  sizeMultiple = 1;

  get upscale() {
    return this.settings.upscale;
  }

  load(layers) {
    const steps = { 2: [2], 3: [3], 4: [2, 2] }[this.upscale];
    return {
      entry: layers.convolution('conv_first'),
      groups: this.settings.num_blocks.map((count, i) => ({
        blocks: layers.blocks(`layers.${i}.blocks`, count),
        convolution: layers.convolution(`layers.${i}.conv`),
      })),
      norm: layers.norm('norm.body'),
      afterBody: layers.convolution('conv_after_body'),
      beforeUpsample: layers.convolution('conv_before_upsample.0'),
      upsample: steps.map((step, i) => ({
        step,
        convolution: layers.convolution(`upsample.${2 * i}`),
      })),
      output: layers.convolution('conv_last'),
    };
  }

  plan(height, width) {
    const { heap, upscale: s, settings: { dim } } = this;
    const floats = dim * height * width;
    this.image = heap.reserve(COLOURS * height * width);
    this.path = this.order(height, width);
    this.reserveWork(floats * s ** 2, dim * (width + 2), dim, height * width);
    this.enlarged = heap.reserve(floats * s ** 2);
    [this.entered, this.body, this.group] = [1, 2, 3].map(() => heap.reserve(floats));
  }

  compute(height, width) {
    const { kernels: k, layers, work, enlarged, entered, body, group, settings: { dim } } = this;
    const pixels = height * width;
    const size = dim * pixels;
    this.convolve(layers.entry, this.image, COLOURS, entered, height, width);
    k.copy(entered, dim, body, dim, dim, pixels);
    for (const { blocks, convolution } of layers.groups) {
      k.copy(body, dim, group, dim, dim, pixels);
      this.runBlocks(blocks, group, height, width, this.path);
      this.convolve(convolution, group, dim, work, height, width);
      k.accumulate(body, work, size);
    }
    k.normalise(body, ...layers.norm, dim, group, pixels);
    this.convolve(layers.afterBody, group, dim, work, height, width);
    k.accumulate(work, entered, size);
    this.convolve(layers.beforeUpsample, work, dim, enlarged, height, width);
    k.leaky_relu(enlarged, 0.01, size);
    let s = 1;
    for (const { step, convolution } of layers.upsample) {
      this.convolve(convolution, enlarged, dim, work, s * height, s * width);
      k.shuffle(work, enlarged, dim, s * height, s * width, dim, step);
      s *= step;
    }
    this.convolve(layers.output, enlarged, dim, work, s * height, s * width);
    return work;
  }
}

/** Whether kernels_relaxed.wasm runs here, tested with a minimal module. */
export function hasRelaxedSimd() {
  const vector = [0x41, 0, 0xfd, 0x0f]; // i32.const 0, i8x16.splat
  const body = [0, ...vector, ...vector, ...vector, 0xfd, 0x85, 0x02, 0x0b]; // f32x4.relaxed_madd
  return WebAssembly.validate(
    Uint8Array.of(
      ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0], // magic number and version
      ...[1, 5, 1, 0x60, 0, 1, 0x7b], // a type: no parameters, one vector
      ...[3, 2, 1, 0], // a function of this type
      ...[10, body.length + 2, 1, body.length, ...body],
    ),
  );
}

/** Answer the messages of `Workers` in tiles.js; for the scope of a worker. */
export function serve(scope) {
  let network;
  scope.onmessage = async ({ data: { wasm, weights, image, height, width } }) => {
    try {
      if (wasm) {
        network = await Network.create(wasm, weights);
        const { settings, sizeMultiple, upscale } = network;
        scope.postMessage({ settings, sizeMultiple, upscale });
      } else {
        // reuses memory where it can: a worker collects its garbage late
        const to = network.upscale === 1 ? image : undefined;
        const restored = network.run(image, height, width, to);
        scope.postMessage({ restored }, [restored.buffer]);
      }
    } catch (error) {
      scope.postMessage({ error: error.message });
    }
  };
}
