// Use the page "Scan explorer" as a person does, and print what it says after each step:
// node explorer.mjs PLAYWRIGHT BROWSER ADDRESS WIDTH SCHEME
import { visit } from './browser.mjs';

const [width, colorScheme] = process.argv.slice(5);

/** What the page says now. */
const read = (page) =>
  page.evaluate(() => {
    const text = (parent, selector) =>
      [...parent.querySelectorAll(selector)].map((found) => found.innerText.trim());
    return {
      said: document.querySelector('.scripted-said').textContent,
      grid: text(document, '.scans-grid td'),
      table: [...document.querySelectorAll('.scans-table tbody tr')].map((row) =>
        [...row.querySelectorAll('td')].map((cell) => cell.textContent),
      ),
      heads: text(document, '.scans-head:not([hidden]) figcaption'),
      lines: document.querySelectorAll('.scans-decay polyline').length,
      overflow: document.documentElement.scrollWidth - window.innerWidth,
    };
  });

const options = { viewport: { width: Number(width), height: 800 }, colorScheme };
await visit(async (page) => {
  const picture = page.locator('.scans-picture');
  await picture.waitFor();
  const states = {};
  for (const pattern of ['raster', 'diagonal', 'zigzag', 'zorder', 'hilbert']) {
    for (const side of ['8', '16', '64']) {
      await page.locator('[name="pattern"]').selectOption(pattern);
      await page.locator('[name="side"]').selectOption(side);
      states[`${pattern} ${side}`] = await read(page);
    }
  }
  await page.locator('[name="side"]').selectOption('16');
  await page.locator('[name="heads"]').selectOption('2');
  const box = await picture.boundingBox();
  const corner = { x: box.width * 0.99, y: box.height * 0.01 };
  await picture.click({ position: corner });
  states.mouse = await read(page);
  await picture.focus();
  await picture.press('ArrowDown');
  await picture.press('Shift+ArrowLeft');
  await picture.press('ArrowRight');
  await picture.press('ArrowRight');
  await picture.press('ArrowRight'); // no further: the border
  states.keyboard = await read(page);
  await page.locator('.scans-head canvas').first().click({ position: { x: 2, y: 2 } });
  states.head = await read(page);
  return { states };
}, options);
