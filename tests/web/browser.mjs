// Use the page "Restore your photo here" in a browser, as a person does, and print what it says:
// node browser.mjs PLAYWRIGHT BROWSER ADDRESS SCENARIO FILE MODEL DOWNLOAD
import { createRequire } from 'node:module';

const [playwright, browserPath, address, scenario, file, model, target] = process.argv.slice(2);
const { chromium } = createRequire(import.meta.url)(playwright);
const PATIENCE = 60_000; // milliseconds; a busy machine is slow, which is no failure
const QUIET = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

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

const SCENARIOS = {
  async restore(page) {
    await choose(page);
    await finish(page);
    const downloading = page.waitForEvent('download');
    await page.locator('[name="download"]').click();
    await (await downloading).saveAs(target);
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
    await page.locator('.restore-error').waitFor();
  },
};

const browser = await chromium.launch({ executablePath: browserPath, args: QUIET });
const requests = [];
const complaints = [];
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.on('request', (request) => requests.push(request.url()));
  page.on('pageerror', (error) => complaints.push(error.message));
  await page.goto(address);
  await SCENARIOS[scenario](page);
  const said = await status(page).textContent();
  const photo = await page.locator('.restore-photo').textContent();
  const shown = await page.locator('.restore-result').isVisible();
  console.log(JSON.stringify({ said, photo, shown, requests, complaints }));
} catch (error) {
  console.error([error.message, ...complaints].join('\n'));
  process.exitCode = 1;
} finally {
  await browser.close();
}
