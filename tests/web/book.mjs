// Read the book as somebody does on a desktop and on a phone, and print what is wrong with it:
// node book.mjs PLAYWRIGHT BROWSER ADDRESS pages|search|weight [PAGE or WORD]...
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { visit } from './browser.mjs';

const [modules, , address, scenario, ...names] = process.argv.slice(2);
const DESKTOP = { width: 1280, height: 900 };
const PHONE = { width: 390, height: 844 };
const GRAVE = ['serious', 'critical'];

// Run in the page: what a narrow window does not show, even to somebody who scrolls.
function hidden() {
  const scrolls = (box) => ['auto', 'scroll'].includes(getComputedStyle(box).overflowX);
  const scroller = (element) => {
    let box = element.parentElement;
    while (box && !scrolls(box)) box = box.parentElement;
    return box;
  };
  const all = [...document.querySelectorAll('.bd-article *')].filter(
    (element) =>
      element.checkVisibility({ visibilityProperty: true }) &&
      !element.closest('img-comparison-slider'), // pictures are dragged in their frame
  );
  const cut = all.filter(
    (element) => element.getBoundingClientRect().right > innerWidth + 1 && !scroller(element),
  );
  const lost = all.filter((element) => {
    const box = element.matches('tr > :first-child') && scroller(element);
    if (!box) return false;
    box.scrollLeft = box.scrollWidth;
    const { left, width } = element.getBoundingClientRect();
    box.scrollLeft = 0;
    return left < 0 || width > innerWidth / 2;
  });
  return [...cut, ...lost].map((element) => element.outerHTML.slice(0, 100));
}

const SCENARIOS = {
  async pages(page) {
    const axe = readFileSync(join(modules, '..', 'axe-core', 'axe.min.js'), 'utf8');
    const wrong = [];
    let name;
    page.on('console', (line) => {
      if (line.type() === 'error') wrong.push(`${name}: console: ${line.text()}`);
    });
    for (name of names) {
      await page.setViewportSize(DESKTOP);
      await page.goto(new URL(name, address).href);
      await page.evaluate(axe);
      const found = await page.evaluate(() => window.axe.run({ resultTypes: ['violations'] }));
      for (const { id, impact, nodes } of found.violations) {
        if (GRAVE.includes(impact)) {
          wrong.push(`${name}: axe: ${id}, ${nodes.length} times: ${nodes[0].html.slice(0, 200)}`);
        }
      }
      await page.addStyleTag({ content: '* { transition: none !important }' });
      const dark = await page.evaluate(() => {
        document.documentElement.dataset.theme = 'dark';
        return window.axe.run({ runOnly: ['color-contrast'], resultTypes: ['violations'] });
      });
      for (const { nodes } of dark.violations) {
        wrong.push(`${name}: in the dark: ${nodes.length} times: ${nodes[0].html.slice(0, 200)}`);
      }
      await page.setViewportSize(PHONE);
      for (const what of await page.evaluate(hidden)) wrong.push(`${name}: phone: ${what}`);
    }
    return { wrong };
  },

  async search(page) {
    const hits = {};
    for (const word of names) {
      await page.goto(new URL(`search.html?q=${encodeURIComponent(word)}`, address).href);
      const results = page.locator('#search-results');
      await results.getByText(/Search finished|did not match/).waitFor();
      const links = results.locator('li > a');
      hits[word] = await links.evaluateAll((all) => all.map((one) => one.textContent));
    }
    return { hits };
  },

  async weight(page) {
    await page.waitForLoadState('networkidle');
    const bytes = await page.evaluate(() => ['navigation', 'resource']
      .flatMap((kind) => performance.getEntriesByType(kind))
      .reduce((sum, entry) => sum + entry.decodedBodySize, 0));
    return { bytes };
  },
};

await visit(SCENARIOS[scenario], { viewport: DESKTOP });
