// Use a page in a browser: PLAYWRIGHT BROWSER ADDRESS, the first arguments, say which and with what.
import { createRequire } from 'node:module';

const PATIENCE = 60_000; // milliseconds; a busy machine is slow, which is no failure
const QUIET = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

/**
 * Open the page, use it, and print what `use` returns as JSON, with every address that the page
 * asked for (`requests`) and every error in it (`complaints`).
 * @param {function(Page): Promise<object>} use
 * @param {object} options - of the browser's window, such as its size
 */
export async function visit(use, options = {}) {
  const [playwright, executablePath, address] = process.argv.slice(2);
  const { chromium, firefox } = createRequire(import.meta.url)(playwright);
  const browser = executablePath.includes('firefox')
    ? await firefox.launch({ executablePath, channel: 'moz-firefox' }) // not Playwright's own build
    : await chromium.launch({ executablePath, args: QUIET });
  const requests = [];
  const complaints = [];
  try {
    const page = await browser.newPage(options);
    page.setDefaultTimeout(PATIENCE);
    page.on('request', (request) => requests.push(request.url()));
    page.on('pageerror', (error) => complaints.push(error.message));
    await page.goto(address);
    console.log(JSON.stringify({ ...(await use(page)), requests, complaints }));
  } catch (error) {
    console.error([error.message, ...complaints].join('\n'));
    process.exitCode = 1;
  } finally {
    await browser.close();
  }
}
