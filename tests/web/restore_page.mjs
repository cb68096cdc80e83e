// Use the page "Restore your photo here" in a browser, as a person does, and print what it says:
// node restore_page.mjs PLAYWRIGHT BROWSER ADDRESS SCENARIO FILE MODEL DOWNLOAD
import { writeFile } from 'node:fs/promises';

import { visit } from './browser.mjs';

const [scenario, file, model, target] = process.argv.slice(5);

const status = (page) => page.locator('.restore-status');
const start = (page) => page.locator('[name="start"]');

async function choose(page) {
  await page.locator('input[type="file"]').setInputFiles(file);
  await page.locator('[name="model"]').selectOption(model);
}

async function finish(page) {
  await start(page).click();
  await status(page).getByText(/megapixels in|cancelled|: /).waitFor();
}

// What the button "Download" saves. Firefox does not tell Playwright of downloads.
async function downloaded(page) {
  const saved = page.evaluate(() => new Promise((resolve) => {
    const { click } = HTMLAnchorElement.prototype;
    HTMLAnchorElement.prototype.click = async function read() {
      HTMLAnchorElement.prototype.click = click;
      const reader = new FileReader();
      reader.onload = () => resolve(reader.result.split(',')[1]);
      reader.readAsDataURL(await (await fetch(this.href)).blob());
    };
  }));
  await page.locator('[name="download"]').click();
  return saved;
}

const SCENARIOS = {
  async restore(page) {
    await choose(page);
    await finish(page);
    await writeFile(target, Buffer.from(await downloaded(page), 'base64'));
  },

  async example(page) {
    await page.locator('[name="example"]').click();
    await page.locator('.restore-photo').getByText('pixels').waitFor();
  },

  async drop(page) {
    const transfer = await page.evaluateHandle(async () => {
      const canvas = new OffscreenCanvas(5, 7);
      canvas.getContext('2d').fillRect(0, 0, 5, 7);
      const data = new DataTransfer();
      data.items.add(new File([await canvas.convertToBlob()], 'dropped.png'));
      return data;
    });
    await page.locator('.restore-drop').dispatchEvent('drop', { dataTransfer: transfer });
    await page.locator('.restore-photo').getByText('dropped.png').waitFor();
  },

  async cancel(page) {
    await choose(page);
    await start(page).click();
    await status(page).getByText('left').waitFor();
    await page.locator('[name="cancel"]').click();
    await status(page).getByText('cancelled').waitFor();
    await page.waitForFunction(() => !document.querySelector('[name="start"]').disabled);
  },

  async refuse(page) {
    await page.locator('input[type="file"]').setInputFiles(file);
    await page.waitForFunction(
      () => document.querySelector('.restore-status').textContent ||
        !document.querySelector('[name="start"]').disabled,
    );
    if (await start(page).isEnabled()) await finish(page);
  },

  async withoutSimd(page) {
    await page.evaluate(() => {
      WebAssembly.validate = () => false;
    });
    await choose(page);
    await start(page).click();
    await page.locator('.scripted-error').waitFor();
  },
};

await visit(async (page) => {
  await SCENARIOS[scenario](page);
  const said = await status(page).textContent();
  const photo = await page.locator('.restore-photo').textContent();
  const shown = await page.locator('.restore-result').isVisible();
  return { said, photo, shown };
});
