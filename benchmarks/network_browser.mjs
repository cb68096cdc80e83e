// Restore a photograph on the page "Restore your photo here" and print how long it took, the longest
// time that the page could not react, and the most memory that it needed:
// node network_browser.mjs PLAYWRIGHT BROWSER ADDRESS FILE MODEL WORKERS
import { readFile } from 'node:fs/promises';

import { visit } from '../tests/web/browser.mjs';

const SAMPLE = 1000; // milliseconds; taking it costs the page time
const [file, model, workers] = process.argv.slice(5);

/** Proportional set size of the page's process, its workers included, in MB; on Linux only. */
async function memory(session) {
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  const renderers = processInfo.filter(({ type }) => type === 'renderer');
  const sizes = renderers.map(async ({ id }) => {
    const text = await readFile(`/proc/${id}/smaps_rollup`, 'utf8').catch(() => '');
    return Number(/^Pss:\s+(\d+)/m.exec(text)?.[1] ?? 0) * 1.024e-3;
  });
  return Math.max(...(await Promise.all(sizes))); // the others run Chromium's own empty pages
}

/** In the page: note when the work starts and ends, and the longest gap between two timers. */
function watch(count) {
  Object.defineProperty(navigator, 'hardwareConcurrency', { value: count });
  const noted = { longest: 0 };
  let last = performance.now();
  setInterval(() => {
    const now = performance.now();
    noted.longest = Math.max(noted.longest, now - last);
    last = now;
  }, 1);
  new MutationObserver(() => {
    const { textContent: said, classList } = document.querySelector('.restore-status');
    if (said === 'restoring …') noted.start = performance.now();
    else if (/megapixels in/.test(said)) Object.assign(noted, { end: performance.now(), said });
    else if (classList.contains('scripted-error')) noted.said = said;
  }).observe(document.querySelector('.restore-status'), { childList: true, attributes: true });
  self.noted = noted;
}

await visit(async (page) => {
  await page.locator('input[type="file"]').setInputFiles(file);
  await page.locator('[name="model"]').selectOption(model);
  await page.waitForFunction(() => !document.querySelector('[name="start"]').disabled);
  await page.evaluate(watch, Number(workers));
  const session = await page.context().browser().newBrowserCDPSession();
  let peak = 0;
  const sampling = setInterval(async () => {
    peak = Math.max(peak, await memory(session));
  }, SAMPLE);
  await page.locator('[name="start"]').click();
  await page.waitForFunction(() => self.noted.said, undefined, { timeout: 0 });
  clearInterval(sampling);
  const { said, start, end, longest } = await page.evaluate(() => self.noted);
  return { said, seconds: (end - start) / 1000, longest_block_ms: longest, peak_mb: peak };
});
