// Use the page "Reproduced elsewhere" and print what it says of each text:
// node compare.mjs PLAYWRIGHT BROWSER ADDRESS WIDTH FILE.json (a list of texts)
import { readFileSync } from 'node:fs';
import { visit } from './browser.mjs';

const [width, file] = process.argv.slice(5);

const read = (page) =>
  page.evaluate(() => ({
    said: document.querySelector('#compare [role=status]').textContent,
    wrong: document.querySelector('.scripted-error') !== null,
    rows: [...document.querySelectorAll('#compare tbody tr')]
      .filter((row) => row.checkVisibility())
      .map((row) => [...row.children].map((cell) => cell.textContent)),
    overflow: document.documentElement.scrollWidth - window.innerWidth,
  }));

await visit(async (page) => {
  const states = [];
  for (const text of JSON.parse(readFileSync(file, 'utf8'))) {
    await page.locator('textarea').fill(text);
    states.push(await read(page));
  }
  await page.locator('[type=file]').setInputFiles({
    name: 'mine.json',
    mimeType: 'application/json',
    buffer: Buffer.from(JSON.parse(readFileSync(file, 'utf8'))[0]),
  });
  await page.waitForFunction(() => !document.querySelector('.compare-result').hidden);
  const chosen = await read(page);
  const saved = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Save' }).click();
  return { states, chosen, saved: readFileSync(await (await saved).path(), 'utf8') };
}, { viewport: { width: Number(width), height: 800 } });
