// Print the scan orders of web/eamamba.js as JSON: node orders.mjs HEADS HEIGHT WIDTH
import { PATTERNS, scanOrder } from '../../web/eamamba.js';

const [heads, height, width] = process.argv.slice(2).map(Number);
const orders = PATTERNS.map((name) => [name, [...scanOrder(name, heads, height, width)]]);
console.log(JSON.stringify(Object.fromEntries(orders)));
