import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import type { Test } from 'tap';
import { skipWithoutProgram } from '../helpers/prerequisites.js';

/** The packages of the console are not among those of the program. */
const require = createRequire(new URL('../../src/console/package.json', import.meta.url));
const built = new URL('../../dist/console/index.html', import.meta.url);
const PROGRAM = 'chromium';

/** Where the screenshots are that the documents show; written there when they are to be made again. */
const SHOTS = fileURLToPath(new URL('../../docs/console/', import.meta.url));
const WRITES = process.env.CULVERT_WRITE === '1';
const WIDTHS = [1280, 390] as const;
/** Lists go on below. */
const MAX_HEIGHT = 2400;

/** For tap's `skip`: why there is no browser, or nothing to show in it. */
export function skipWithoutBrowser(): string | false {
  if (!existsSync(built)) return 'the console is not built: npm run console:build';
  return skipWithoutProgram(PROGRAM);
}

/** A browser, and the pages of one person in it. What a page says on its console, or asks of others, is a fault. */
export class Visitor {
  readonly context: BrowserContext;
  readonly page: Page;
  readonly faults: string[] = [];
  readonly #url: string;

  private constructor(context: BrowserContext, page: Page, url: string) {
    this.context = context;
    this.page = page;
    this.#url = url;
    page.on('console', (message) => {
      // Chromium itself notes every answer from 400 on.
      if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) {
        this.faults.push(message.text());
      }
    });
    page.on('pageerror', (error) => this.faults.push(String(error)));
    page.on('request', (request) => {
      const to = request.url();
      if (!to.startsWith(url) && !/^(?:blob|data):/.test(to)) this.faults.push(`a request to ${to}`);
    });
  }

  static async come(
    browser: Browser,
    url: string,
    options: { theme?: 'dark' | 'light' } = {},
  ): Promise<Visitor> {
    const viewport = { width: WIDTHS[0], height: 900 };
    const context = await browser.newContext({
      viewport,
      colorScheme: options.theme ?? 'light',
      reducedMotion: 'reduce',
    });
    context.setDefaultTimeout(20_000);
    return new Visitor(context, await context.newPage(), url);
  }

  /** Opens a page of the console. */
  async open(path: string): Promise<void> {
    await this.page.goto(`${this.#url}/console${path}`);
  }

  async logIn(secret: string): Promise<void> {
    await this.open('/');
    await this.page.getByLabel('Token or API key').fill(secret);
    await this.page.getByRole('button', { name: 'Log in' }).click();
    await this.page.getByRole('heading', { name: 'VPN gateways', level: 1 }).waitFor();
  }

  /** Asks axe what would keep people out, in both themes; and whether the page is wider than a narrow screen. */
  async inspect(t: Test, name: string): Promise<void> {
    const { page } = this;
    for (const theme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' });
      let found = await violations(page);
      // Colours may be on their way from one theme to the other.
      for (let tries = 0; found.length > 0 && tries < 4; tries++) {
        await page.waitForTimeout(400);
        found = await violations(page);
      }
      t.same(found, [], `${name}, ${theme}`);
    }
    await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' });
    for (const width of [...WIDTHS, 360]) {
      await page.setViewportSize({ width, height: 900 });
      const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      t.ok(over <= 0, `${name} fits ${width} px`, { over });
      if (WRITES && width !== 360) await this.#shoot(name, width);
    }
    await page.setViewportSize({ width: WIDTHS[0], height: 900 });
  }

  async #shoot(name: string, width: number): Promise<void> {
    mkdirSync(SHOTS, { recursive: true });
    // What is drawn follows the width a moment later.
    await this.page.waitForTimeout(500);
    const whole = await this.page.evaluate(() => document.documentElement.scrollHeight);
    const clip = { x: 0, y: 0, width, height: Math.min(whole, MAX_HEIGHT) };
    await this.page.screenshot({ path: join(SHOTS, `${name}-${width}.png`), fullPage: true, clip });
  }

  async leave(t: Test): Promise<void> {
    t.same(this.faults, [], 'no error on the console, no request to anywhere else');
    await this.context.close();
  }
}

/** Starts a browser, which ends with the test. */
export async function startBrowser(t: Test): Promise<Browser> {
  const { chromium } = require('playwright-core') as typeof import('playwright-core');
  const browser = await chromium.launch({
    executablePath: `/usr/bin/${PROGRAM}`,
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
  });
  t.teardown(() => browser.close());
  return browser;
}

interface AxeResult {
  readonly violations: readonly {
    readonly id: string;
    readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[];
  }[];
}

async function violations(page: Page): Promise<string[]> {
  // By the debugger: the policy of the page lets no other script in.
  await page.evaluate(readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8'));
  const result = await page.evaluate<AxeResult>('axe.run(document)');
  return result.violations.map(({ id, nodes }) => {
    const [first] = nodes;
    return `${id} (${nodes.length}): ${first?.html.slice(0, 200)} ${first?.failureSummary ?? ''}`;
  });
}
