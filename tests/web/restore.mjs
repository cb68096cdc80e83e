// Restore an image of raw float32 (height, width, 3) with the modules in web/, without a browser:
// node restore.mjs KERNELS WEIGHTS INPUT HEIGHT WIDTH TILE OUTPUT; TILE 0: the network alone
import { readFileSync, writeFileSync } from 'node:fs';
import { Network } from '../../web/eamamba.js';
import { restorePhoto } from '../../web/tiles.js';

const [kernels, weights, input, height, width, tile, output] = process.argv.slice(2);
const [h, w] = [Number(height), Number(width)];
const image = new Float32Array(new Uint8Array(readFileSync(input)).buffer);

/** The pixels at the crossings of rows and columns. */
function read(rows, columns) {
  const part = new Float32Array(3 * rows.length * columns.length);
  let to = 0;
  for (const r of rows) {
    for (const c of columns) {
      part.set(image.subarray(3 * (r * w + c), 3 * (r * w + c + 1)), to);
      to += 3;
    }
  }
  return part;
}

try {
  const bytes = new Uint8Array(readFileSync(weights));
  const network = await Network.create(readFileSync(kernels), bytes);
  const s = network.upscale;
  let restored = new Float32Array(3 * h * w * s * s);
  if (tile === '0') restored = network.run(image, h, w);
  else {
    const tiled = Object.assign(Object.create(network), { parallel: 1 });
    const write = (y, row) => restored.set(row, 3 * y * w * s);
    await restorePhoto({ height: h, width: w, read }, tiled, write, { tile: Number(tile) });
  }
  writeFileSync(output, restored);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
