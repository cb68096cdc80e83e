// Use the page "Before and after" as a person does, and print what it shows after each step:
// node before_after.mjs PLAYWRIGHT BROWSER ADDRESS WIDTH SCHEME
import { visit } from './browser.mjs';

const [width, colorScheme] = process.argv.slice(5);

/** What the page shows now. */
const read = (page) =>
  page.evaluate(() => {
    const frames = [...document.querySelectorAll('.pictures-frame')];
    return {
      said: document.querySelector('.scripted-said').textContent,
      line: document.querySelector('img-comparison-slider').value,
      files: frames.map((frame) =>
        [...frame.querySelectorAll('img')].map((image) => image.src.split('/').pop()),
      ),
      loaded: frames.every((frame) =>
        [...frame.querySelectorAll('img')].every((image) => image.naturalWidth > 0),
      ),
      places: frames.map((frame) => {
        const { x, y, width: wide, height } = frame.firstElementChild.getBoundingClientRect();
        return [x, y, wide, height];
      }),
      sizes: frames.map(({ offsetWidth, offsetHeight }) => [offsetWidth, offsetHeight]),
      dial: !document.querySelector('[name="dial"]').closest('label').hidden,
      overflow: document.documentElement.scrollWidth - window.innerWidth,
    };
  });

const options = { viewport: { width: Number(width), height: 800 }, colorScheme };
await visit(async (page) => {
  const slider = page.locator('img-comparison-slider.rendered');
  await slider.waitFor();
  const choose = (name, value) => page.locator(`[name="${name}"]`).selectOption(value);
  const settle = async () => {
    await page.waitForFunction(() =>
      [...document.querySelectorAll('.pictures-frame img')].every((image) => image.complete),
    );
    return read(page);
  };
  const states = { start: await settle() };
  await page.locator('[name="dial"]').focus();
  await page.keyboard.press('End');
  states.strongest = await settle();
  await choose('task', 'rain');
  states.rain = await settle();
  await choose('left', 'error');
  await choose('right', 'truth');
  states.error = await settle();
  await choose('zoom', '8');
  states.enlarged = await settle();
  const box = await slider.boundingBox();
  const at = { x: box.x + box.width / 4, y: box.y + box.height / 4 };
  await page.mouse.move(at.x, at.y);
  await page.mouse.down();
  await page.mouse.move(at.x + 30, at.y + 20, { steps: 3 });
  await page.mouse.up();
  states.dragged = await settle();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await page.mouse.down();
  await page.mouse.move(box.x + (3 * box.width) / 4, box.y + box.height / 2, { steps: 3 });
  await page.mouse.up();
  states.slid = await settle();
  await slider.focus();
  await page.keyboard.press('d');
  states.moved = await settle();
  await page.keyboard.press('-');
  await page.keyboard.down('ArrowLeft');
  await page.waitForTimeout(300);
  await page.keyboard.up('ArrowLeft');
  states.keyboard = await settle();
  return { states };
}, options);
