// Print the side of a tile that web/tiles.js chooses: node tile.mjs PHOTO MODEL WORKERS
import { bestTile } from '../../web/tiles.js';

console.log(bestTile(...process.argv.slice(2).map((text) => JSON.parse(text))));
