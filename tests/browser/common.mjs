// What the days in the browser share: checks that are counted, Chromium, nodes of a network of their own, and what every page must stand.
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
export const failed = { count: 0 };
export function check(what, held, seen = '') {
  console.log(`${held ? 'ok  ' : 'FAIL'} ${what}${held ? '' : ` (${seen})`}`);
  if (!held) failed.count += 1;
}

export async function until(what, truth, seconds = 30) {
  const end = Date.now() + seconds * 1000;
  while (Date.now() < end) {
    if (await truth()) return check(what, true);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  check(what, false, 'it did not happen in time');
}

export const launch = () => chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});

// A context at a desk, with what its pages complain of.
export async function desktop(browser) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: 'zh-CN' });
  const faults = [];
  context.on('console', (message) => {
    if (message.type() === 'error' && !/status of (401|403|404|409|421|422|429)|ERR_FAILED/.test(message.text())) faults.push(message.text());
  });
  context.on('weberror', (error) => faults.push(String(error.error())));
  return { context, faults };
}

// Looks at a page with axe and at the width of a telephone; with a folder it keeps a picture of both.
export async function seen(page, name, shots) {
  // Evaluated by the debugger, which the page's policy does not bind.
  const found = await page.evaluate(`${axe}; axe.run(document, { resultTypes: ['violations'] })`);
  const grave = found.violations.filter((it) => ['serious', 'critical'].includes(it.impact));
  check(`axe finds nothing serious on ${name}`, grave.length === 0, grave.map((it) => `${it.id}: ${it.nodes[0].html}`).join('; '));
  const wide = async () => page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  await page.setViewportSize({ width: 390, height: 844 });
  const over = await wide();
  check(`${name} fits a width of 390`, over <= 0, `${over} px too wide`);
  if (shots) await page.screenshot({ path: join(shots, `${name}-390.png`), fullPage: true });
  await page.setViewportSize({ width: 1280, height: 900 });
  if (shots) await page.screenshot({ path: join(shots, `${name}-1280.png`), fullPage: true });
}

// The nodes of a network in a scratch directory.
export class Nodes {
  constructor(lianxin, scratch) {
    mkdirSync(scratch, { recursive: true });
    this.lianxin = lianxin;
    this.scratch = scratch;
    this.started = [];
  }

  run(device, ...words) {
    const said = execFileSync(this.lianxin, ['--data', join(this.scratch, device), ...words, '--json'], { encoding: 'utf8', maxBuffer: 1 << 26 });
    return JSON.parse(said);
  }

  file(name, rows) {
    const path = join(this.scratch, name);
    writeFileSync(path, typeof rows === 'string' ? rows : JSON.stringify(rows));
    return path;
  }

  async start(device) {
    const node = spawn(this.lianxin, ['--data', join(this.scratch, device), 'run', '--listen', '127.0.0.1:0', '--web', '127.0.0.1:0', '--json'], { stdio: ['ignore', 'pipe', 'ignore'] });
    this.started.push(node);
    return new Promise((resolve, reject) => {
      let said = '';
      node.stdout.on('data', (bytes) => { said += bytes; if (said.includes('\n')) resolve(JSON.parse(said)); });
      node.on('exit', () => reject(new Error(`${device} ended: ${said}`)));
    });
  }

  // A hub that runs, and devices that have joined it.
  async network(devices) {
    this.run('hub', 'hub', 'init', '--name', '示例街道', '--code', 'SLJD', '--recovery-out', join(this.scratch, 'card'));
    this.run('hub', 'site', 'create', '--name', '测试社区人大代表工作站', '--kind', 'workstation', '--code', 'EM1');
    const hub = await this.start('hub');
    for (const [device, site, role] of devices) {
      const { invite } = this.run('hub', 'invite', 'create', '--site', site, '--role', role);
      this.run(device, 'join', invite, '--hub', hub.sync);
    }
  }

  stop() {
    for (const node of this.started) node.kill('SIGTERM');
  }
}

export function ended() {
  console.log(failed.count ? `${failed.count} checks failed` : 'all checks held');
  process.exitCode = failed.count ? 1 : 0;
}
