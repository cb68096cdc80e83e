// Open pages of the book as a reader does, on a desktop and on a phone, and print what is wrong:
// node book.mjs MODULES BROWSER ADDRESS PAGE... < words to search for, one a line
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const [modules, executablePath, address, ...pages] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const { chromium } = require('playwright-core');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const words = readFileSync(0, 'utf8').split('\n').filter(Boolean);
const DESKTOP = { width: 1280, height: 900 };
const PHONE = { width: 390, height: 844 };
const GRAVE = ['serious', 'critical'];
const QUIET = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

// Run in the page: what a narrow window does not show, even to somebody who scrolls.
function hidden() {
  const scrolls = (box) => ['auto', 'scroll'].includes(getComputedStyle(box).overflowX);
  const scroller = (element) => {
    let box = element.parentElement;
    while (box && !scrolls(box)) box = box.parentElement;
    return box;
  };
  const shown = (element) => element.checkVisibility({ visibilityProperty: true });
  const all = [...document.querySelectorAll('.bd-article *')].filter(shown);
  const cut = all.filter(
    (element) => element.getBoundingClientRect().right > innerWidth + 1 && !scroller(element),
  );
  const lost = all.filter((element) => {
    if (!element.matches('tr > :first-child')) return false;
    const box = scroller(element);
    if (!box) return false;
    box.scrollLeft = box.scrollWidth;
    const { left, width } = element.getBoundingClientRect();
    box.scrollLeft = 0;
    return left < 0 || width > innerWidth / 2;
  });
  return [...cut, ...lost].map((element) => element.outerHTML.slice(0, 100));
}

async function visit(page, name, found) {
  await page.setViewportSize(DESKTOP);
  await page.goto(new URL(name, address).href, { waitUntil: 'load' });
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run({ resultTypes: ['violations'] }));
  for (const { id, impact, nodes } of violations) {
    if (GRAVE.includes(impact)) found.push(`axe ${id}: ${nodes[0].html.slice(0, 200)} (${nodes.length})`);
  }
  await page.setViewportSize(PHONE);
  for (const what of await page.evaluate(hidden)) found.push(`hidden at 390 pixels: ${what}`);
}

const browser = await chromium.launch({ executablePath, args: QUIET });
const found = {};
let bytes = 0;
try {
  const page = await browser.newPage();
  let now = [];
  page.on('console', (line) => line.type() === 'error' && now.push(`console: ${line.text()}`));
  page.on('pageerror', (error) => now.push(`error: ${error.message}`));
  page.on('request', (request) => {
    const local = [address, 'data:', 'blob:'].some((start) => request.url().startsWith(start));
    if (!local) now.push(`request: ${request.url()}`);
  });
  for (const name of pages) {
    now = [];
    await visit(page, name, now);
    if (now.length) found[name] = now;
  }
  const first = await browser.newPage({ viewport: DESKTOP });
  await first.goto(address, { waitUntil: 'networkidle' });
  bytes = await first.evaluate(() => ['navigation', 'resource']
    .flatMap((kind) => performance.getEntriesByType(kind))
    .reduce((sum, entry) => sum + entry.decodedBodySize, 0));
  const hits = {};
  for (const word of words) {
    await first.goto(new URL(`search.html?q=${encodeURIComponent(word)}`, address).href);
    await first.locator('#search-results .search-summary').getByText(/finished|did not match/).waitFor();
    hits[word] = await first.locator('#search-results li a').evaluateAll(
      (links) => links.map((link) => new URL(link.href).pathname.slice(1)),
    );
  }
  console.log(JSON.stringify({ found, bytes, hits }));
} finally {
  await browser.close();
}
