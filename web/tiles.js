// Photographs of any size, tile by tile: padding and blending as in eamamba/restore/, and workers.

const OVERLAP = 32;
const BORDER = 8;
const TILE_STEP = 8; // largest multiple that a network requires of the sides of its input
const MEMORY = 440e6; // bytes for the result and for all tiles that are computed at once
const PIXEL_BYTES = 9; // that a pixel of the result takes, on the page and while tiles are joined

/** Term `position` of ... 0 ... size-1 ... 0 ..., 0 being the first pixel. */
function reflected(position, size) {
  if (size === 1) return 0;
  const period = 2 * size - 2;
  const p = ((position % period) + period) % period;
  return Math.min(p, period - p);
}

/** Pixels of one axis, with a border on both sides, then up to a multiple on the far side. */
function paddedPositions(size, multiple) {
  const bordered = size + 2 * BORDER;
  return Int32Array.from({ length: Math.ceil(bordered / multiple) * multiple }, (_, p) =>
    reflected(reflected(p, bordered) - BORDER, size),
  );
}

/** Starts of tiles that cover `length` evenly; see `tile_starts` in Python. */
export function tileStarts(length, tile, overlap, multiple) {
  if (length <= tile) return [0];
  const stride = Math.floor((tile - overlap) / multiple) * multiple;
  const count = Math.ceil((length - tile) / stride) + 1;
  const gap = (length - tile) / (count - 1) / multiple;
  const starts = Array.from({ length: count - 1 }, (_, i) => Math.floor(i * gap) * multiple);
  return [...starts, length - tile];
}

/**
 * The side of square tiles with which some workers are done first: with the fewest pixels, overlaps
 * counted as often as they are computed, for the one that computes the most tiles. A multiple of 8,
 * at least half of the largest for which there is memory; a worker takes at most half of that.
 * @param {{height: number, width: number}} photo
 * @param {{scale: number, tileBytes: number}} model - `tileBytes` for each pixel of a tile
 * @param {number} workers
 */
export function bestTile({ height, width }, { scale, tileBytes }, workers) {
  const lengths = [height, width].map((size) => paddedPositions(size, TILE_STEP).length);
  const free = MEMORY - PIXEL_BYTES * height * width * scale ** 2;
  const largest = Math.sqrt(free / tileBytes / Math.max(workers, 2));
  const most = Math.floor(largest / TILE_STEP) * TILE_STEP;
  let best = { pixels: Infinity };
  for (let side = most; side >= most / 2; side -= TILE_STEP) {
    const [rows, columns] = lengths.map(
      (length) => tileStarts(length, side, overlapOf(side), TILE_STEP).length,
    );
    const [tall, wide] = lengths.map((length) => Math.min(side, length));
    const pixels = Math.ceil((rows * columns) / workers) * tall * wide;
    if (pixels < best.pixels) best = { pixels, side };
  }
  return best.side;
}

const overlapOf = (tile) => Math.min(OVERLAP, Math.floor(tile / 4));

/**
 * Write `part` (rows, columns, 3) into `canvas` (the same rows, canvasColumns, 3) from the given
 * column on, blended smoothly up to column `done`, which is filled already.
 */
function fadeInColumns(canvas, canvasColumns, part, rows, columns, start, done) {
  const shared = Math.max(done - start, 0);
  for (let r = 0; r < rows; r++) {
    let to = 3 * (r * canvasColumns + start);
    let from = 3 * r * columns;
    for (let c = 0; c < shared; c++) {
      const weight = rise(c, shared);
      for (let i = 0; i < 3; i++, to++, from++) canvas[to] += weight * (part[from] - canvas[to]);
    }
    canvas.set(part.subarray(from, 3 * (r + 1) * columns), to);
  }
}

const rise = (position, length) => Math.sin((((position + 0.5) / length) * Math.PI) / 2) ** 2;

/** Blend the first `shared` rows of a strip with the last of the one before. */
function fadeInRows(before, strip, width, shared) {
  const row = 3 * width;
  const last = before.subarray(before.length - shared * row);
  for (let r = 0; r < shared; r++) {
    const weight = rise(r, shared);
    for (let i = r * row; i < (r + 1) * row; i++) {
      strip[i] = last[i] + weight * (strip[i] - last[i]);
    }
  }
}

/**
 * Restore a photograph like `eamamba.restore.restore_photo` with the same tiles.
 *
 * Holds two strips of tiles in memory, besides the memory of `read` and `write`.
 *
 * @param {{height: number, width: number,
 *   read: function(Int32Array, Int32Array): Float32Array}} photo - `read` returns the pixels at
 *   the crossings of these rows and columns, (rows, columns, 3) in [0, 1]
 * @param {{sizeMultiple: number, upscale: number, parallel: number,
 *   run: function(Float32Array, number, number): Promise<Float32Array>}} network
 * @param {function(number, Float32Array): void} write - takes each finished row, not clipped
 * @param {{tile: number, progress: function(number, number): void}} options
 */
export async function restorePhoto(photo, network, write, { tile, progress = () => {} }) {
  const { sizeMultiple, upscale: s } = network;
  const rows = paddedPositions(photo.height, sizeMultiple);
  const columns = paddedPositions(photo.width, sizeMultiple);
  const [tops, lefts] = [rows, columns].map(({ length }) =>
    tileStarts(length, tile, overlapOf(tile), sizeMultiple),
  );
  const [height, width] = [Math.min(tile, rows.length), Math.min(tile, columns.length)];
  const places = tops.flatMap((top) => lefts.map((left) => [top, left]));
  const tiles = inOrder(places, network.parallel, ([top, left]) =>
    network.run(
      photo.read(rows.subarray(top, top + height), columns.subarray(left, left + width)),
      height,
      width,
    ),
  );
  const stripWidth = columns.length * s;
  const finish = (strip, top, end) => {
    for (let y = Math.max(top, BORDER * s); y < Math.min(end, (BORDER + photo.height) * s); y++) {
      const start = 3 * ((y - top) * stripWidth + BORDER * s);
      write(y - BORDER * s, strip.subarray(start, start + 3 * photo.width * s));
    }
  };
  const strips = [0, 1].map(() => new Float32Array(3 * height * s * stripWidth));
  let finished = 0;
  for (const [row, top] of tops.entries()) {
    const [strip, before] = row % 2 ? strips.toReversed() : strips;
    for (const [column, left] of lefts.entries()) {
      const { value: part } = await tiles.next();
      const done = column ? lefts[column - 1] + width : 0;
      fadeInColumns(strip, stripWidth, part, height * s, width * s, left * s, done * s);
      progress(++finished, places.length);
    }
    if (row) fadeInRows(before, strip, stripWidth, (tops[row - 1] + height - top) * s);
    finish(strip, top * s, (tops[row + 1] ?? rows.length) * s);
  }
}

/** Results in order, of a few calls that run at once. */
async function* inOrder(items, parallel, call) {
  const running = [];
  for (const item of items) {
    const result = call(item);
    Promise.resolve(result).catch(() => {}); // reported where it is awaited
    running.push(result);
    // twice as many as can run, so that no worker waits for blending
    if (running.length >= 2 * parallel) yield await running.shift();
  }
  while (running.length) yield await running.shift();
}

/** A network in several workers, with the interface that `restorePhoto` needs. */
export class Workers {
  /**
   * @param {string} source - text of eamamba.js; a worker has no file to load where pages have none
   * @param {BufferSource} wasm
   * @param {Uint8Array} weights
   * @param {number} count
   */
  static async start(source, wasm, weights, count) {
    // A page opened as a file may start no module in a worker, but may start a script, which the
    // source is but for its exports.
    const script = [source.replace(/^export /gm, ''), '\nserve(self);'];
    const url = URL.createObjectURL(new Blob(script, { type: 'text/javascript' }));
    const workers = Array.from({ length: count }, () => new Worker(url));
    const pool = new Workers(workers);
    try {
      const [facts] = await Promise.all(workers.map(() => pool.ask({ wasm, weights })));
      return Object.assign(pool, facts);
    } catch (error) {
      pool.stop();
      throw error;
    } finally {
      URL.revokeObjectURL(url);
    }
  }

  constructor(workers) {
    this.parallel = workers.length;
    this.workers = workers;
    this.idle = [...workers];
    this.waiting = [];
    this.working = new Map();
    for (const worker of workers) {
      worker.onmessage = ({ data }) => this.finish(worker, data);
      worker.onerror = ({ message }) =>
        this.finish(worker, { error: message || 'a worker did not start' });
    }
  }

  async run(image, height, width) {
    return (await this.ask({ image, height, width })).restored;
  }

  ask(message) {
    return new Promise((resolve, reject) => {
      this.waiting.push({ message, resolve, reject });
      this.dispatch();
    });
  }

  dispatch() {
    while (this.idle.length && this.waiting.length) {
      const worker = this.idle.pop();
      const job = this.waiting.shift();
      this.working.set(worker, job);
      worker.postMessage(job.message, job.message.image ? [job.message.image.buffer] : []);
    }
  }

  finish(worker, answer) {
    const job = this.working.get(worker);
    this.working.delete(worker);
    this.idle.push(worker);
    if (answer.error) job?.reject(new Error(answer.error));
    else job?.resolve(answer);
    this.dispatch();
  }

  /** Terminate all workers; their pending jobs fail with an `AbortError`. */
  stop() {
    for (const worker of this.workers) worker.terminate();
    const jobs = [...this.working.values(), ...this.waiting];
    this.idle = [];
    this.waiting = [];
    for (const { reject } of jobs) reject(new DOMException('cancelled', 'AbortError'));
  }
}
