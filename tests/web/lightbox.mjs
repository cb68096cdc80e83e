// Open pictures of a page over it, by keyboard and by mouse, and print what is shown:
// node lightbox.mjs PLAYWRIGHT BROWSER ADDRESS SCHEME
import { visit } from './browser.mjs';

const [colorScheme] = process.argv.slice(5);

await visit(async (page) => {
  const look = () =>
    page.evaluate(() => {
      const { filter, backgroundColor } = getComputedStyle(document.querySelector('.pswp img'));
      return { alt: document.querySelector('.pswp__item[aria-hidden="false"] img').alt, filter, backgroundColor };
    });
  const filters = await page.evaluate(() =>
    [...document.querySelectorAll('.bd-content img')].map((image) => getComputedStyle(image).filter),
  );
  await page.locator('a.enlarge').first().focus();
  await page.keyboard.press('Enter');
  await page.locator('.pswp__item[aria-hidden="false"] img').waitFor();
  const first = await look();
  await page.keyboard.press('ArrowRight');
  await page.waitForTimeout(600);
  const second = await look();
  await page.keyboard.press('Escape');
  await page.locator('.pswp').waitFor({ state: 'detached' });
  const focused = await page.evaluate(() => document.activeElement.className);
  await page.locator('a.enlarge img').last().click();
  await page.locator('.pswp__item[aria-hidden="false"] img').waitFor();
  return { first, second, filters, focused, clicked: await look() };
}, { viewport: { width: 1200, height: 800 }, colorScheme });
