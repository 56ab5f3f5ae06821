// A day's work at volume in Chromium: a hub, a station and an operator's PC with 400 opinions and 45 deputies. The clerk looks, the
// operator pages, filters, accepts and dispatches by the page and goes on from case to case, takes something back, answers; the
// clerk tells the residents. What pages count is compared with what the commands say.
//
// usage: node volume.mjs PATH-OF-LIANXIN SCRATCH [SCREENSHOTS]
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Nodes, check, ended, launch, until } from './common.mjs';

const [lianxin, scratch, shots] = process.argv.slice(2);
if (shots) mkdirSync(shots, { recursive: true });
const nodes = new Nodes(lianxin, scratch);
const run = nodes.run.bind(nodes);
const file = nodes.file.bind(nodes);

const browser = await launch();
try {
  await nodes.network([['station', 'EM1', 'station'], ['pc', 'HUB', 'operator']]);
  const deputies = Array.from({ length: 45 }, (_, at) => ({ name: `测试代表${at + 1}` }));
  run('hub', 'record', 'add', '--kind', 'deputy', '--file', file('deputies.json', deputies));
  run('hub', 'record', 'add', '--kind', 'org', '--file', file('orgs.json', [{ name: '示例街道城市管理办公室' }, { name: '测试派出所' }]));
  const places = ['楼道灯不亮', '井盖松动', '下水道返水', '电动车飞线充电', '广场舞音量大'];
  const opinions = Array.from({ length: 400 }, (_, at) => ({
    category: ['help', 'complaint', 'suggestion', 'consult'][at % 4],
    urgency: at % 40 === 0 ? 'urgent' : 'normal',
    body: `${Math.floor(at / 5) + 1}号楼${places[at % 5]}，请尽快处理。`,
    channel: 'walk_in', test_data: true,
    ...(at % 2 ? {} : { identity_mode: 'named', reply_wanted: 'phone', person: { call_name: '测试女士', phone: '000-0000-0001' } }),
  }));
  run('station', 'record', 'add', '--kind', 'opinion', '--file', file('opinions.json', opinions));
  const station = await nodes.start('station');
  await nodes.start('pc');
  await until('everything has arrived', () => run('station', 'status').unreceipted === 0, 60);

  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: 'zh-CN' });
  const slow = [];
  context.on('response', (answer) => {
    const took = answer.request().timing().responseEnd;
    if (took > 2000 && answer.request().resourceType() === 'document') slow.push(answer.url());
  });
  const open = async (device) => {
    const page = await context.newPage();
    await page.goto(run(device, 'open').url);
    return page;
  };
  const shot = async (page, name) => { if (shots) await page.screenshot({ path: join(shots, `volume-${name}.png`), fullPage: true }); };
  const num = async (page, label) => Number(await page.locator('.views a', { hasText: label }).first().locator('.num').innerText());
  const titles = (page) => page.locator('tbody .title').allInnerTexts();

  // ---- the clerk's morning ----
  const clerk = await open('station');
  check('the clerk sees what was recorded today', /今天登记了 400 条，街道中心已收 400 条/.test(await clerk.innerText('main')), await clerk.innerText('.page-head'));
  await clerk.goto(new URL('/records', clerk.url()).href);
  const first = await titles(clerk);
  await clerk.click('.pager a');
  await clerk.waitForLoadState();
  const second = await titles(clerk);
  check('the ledger turns its pages and repeats nothing', first.length === 50 && second.length === 50 && !second.some((it) => first.includes(it)));
  await shot(clerk, 'ledger');

  // ---- the operator works by the page ----
  const desk = await open('hub');
  await desk.goto(new URL('/queue', desk.url()).href);
  check('the queue says how many wait', await num(desk, '待受理') === 400);
  check('what is urgent stands first', (await desk.locator('tbody tr').first().innerText()).includes('紧急'));
  await shot(desk, 'queue');
  await desk.selectOption('[name=category]', 'consult');
  await desk.click('.filter .btn');
  await desk.waitForLoadState();
  check('a filter counts what it shows', /共 100 件/.test(await desk.innerText('.pager')), await desk.innerText('.pager'));
  await desk.goto(new URL('/queue?view=opinion-registered', desk.url()).href);
  check('nothing can be done to none', await desk.locator('.bar-pick button[name=step]').first().isDisabled());
  await desk.locator('[data-pick-all]').check();
  check('a page is picked at once', /已选 50 件/.test(await desk.innerText('.bar-pick')));
  const accept = desk.locator('.bar-pick button[value="opinion/accept"]');
  await accept.click();
  await desk.waitForSelector('text=受理编号');
  check('the numbers are shown before they are given', /第0001号 至 .*第0050号/.test(await desk.innerText('#next')), await desk.innerText('#next'));
  await shot(desk, 'preview');
  await desk.locator('#next .btn-main').click();
  await desk.waitForURL(/\/queue(\?|$)/);
  await desk.locator('[data-due] button').click();
  await desk.waitForURL('**said=back');
  check('an order can be taken back', /已撤销/.test(await desk.innerText('main')) && await num(desk, '待受理') === 400);
  for (let round = 0; round < 2; round += 1) {
    await desk.goto(new URL('/queue?view=opinion-registered', desk.url()).href);
    await desk.locator('[data-pick-all]').check();
    await accept.click();
    await desk.locator('#next .btn-main').click();
    await desk.waitForURL(/\/queue(\?|$)/);
    await until('what was ordered is done without anybody looking', () => run('hub', 'record', 'list', '--kind', 'opinion', '--status', 'accepted', '--limit', '500').records.length === 50 * (round + 1), 40);
  }
  await desk.goto(new URL('/queue?view=opinion-accepted', desk.url()).href);
  await desk.locator('tbody input[name=id]').nth(0).check();
  await desk.locator('tbody input[name=id]').nth(1).check();
  await desk.locator('.bar-pick button[value="opinion/dispatch"]').click();
  await desk.waitForSelector('#f-due_on');
  check('a date is proposed', /^\d{4}-\d{2}-\d{2}$/.test(await desk.inputValue('#f-due_on')));
  await desk.locator('#f-lead label', { hasText: '示例街道城市管理办公室' }).click();
  await desk.locator('[data-phrases] summary').click();
  await desk.locator('[data-phrase]').first().click();
  check('a phrase is put in with one press', (await desk.inputValue('#f-text')).includes('请核实情况'));
  await desk.locator('#next .btn-main').click();
  await desk.waitForURL(/\/queue(\?|$)/);
  await until('two are dispatched', () => run('hub', 'record', 'list', '--kind', 'opinion', '--status', 'dispatched', '--limit', '500').records.length === 2, 40);

  // ---- from case to case: sign, reply, approve ----
  await desk.goto(new URL('/queue?view=opinion-dispatched', desk.url()).href);
  await desk.locator('tbody .btn').first().click();
  for (const [step, fill] of [['sign'], ['submit_reply', true], ['approve']]) {
    if (fill) {
      await desk.selectOption('#next [name=resolution]', 'solved').catch(() => desk.check('#next [name=resolution][value=solved]', { force: true }));
      await desk.fill('#next [name=text]', '已派人修好，请放心使用。');
    }
    await desk.locator(`#next form[action$="/steps/${step}"] .btn-main`).click();
    await desk.waitForURL(`**did=${step}`);
    check(`what was done is said: ${step}`, /已存本机，现在是/.test(await desk.innerText('main')));
  }
  const answered = new URL(desk.url()).pathname;

  // ---- the operator's PC goes on where the other is, and sees the sites ----
  const pc = await open('pc');
  await until('the other desk has it', async () => { await pc.goto(new URL(answered, pc.url()).href); return /已答复/.test(await pc.innerText('main')); });
  await pc.goto(new URL('/sites', pc.url()).href);
  check('an operator\'s PC knows when a site last sent something', /最近送到/.test(await pc.innerText('main')));
  await pc.goto(new URL('/queue?view=opinion-registered', pc.url()).href);
  await pc.locator('tbody input[name=id]').first().check();
  await pc.locator('.bar-pick button[value="opinion/accept"]').click();
  check('the hub\'s numbers are the hub\'s', /编号由街道中心给/.test(await pc.innerText('#next')));

  // ---- the clerk tells the residents, and sees it move without a reload ----
  const watching = await context.newPage();
  await watching.goto(new URL(answered, clerk.url()).href);
  await until('the answer is on the clerk\'s first page', async () => { await clerk.goto(new URL('/', clerk.url()).href); return /反馈群众/.test(await clerk.innerText('main')); });
  await clerk.locator('.todo-rows .btn').first().click();
  await clerk.waitForSelector('#next .phone, #next form');
  check('the answer stands beside what is to be done', /已派人修好/.test(await clerk.innerText('.answer, #next')));
  check('the way that was wished for is chosen', await clerk.locator('#next [name=way][value=phone]').isChecked());
  await clerk.locator('#next form .btn-main').click();
  await clerk.waitForURL('**did=inform');
  check('it is told by name', /“反馈群众”已存本机，现在是“已反馈”/.test(await clerk.innerText('main')), await clerk.innerText('main').then((it) => it.slice(0, 200)));
  await until('another window follows without a reload', async () => /已反馈/.test(await watching.innerText('#rec-stands')) && !await watching.locator('form[action$="/steps/inform"]').count());
  await until('the operator sees that it was told', async () => { await desk.goto(new URL(answered, desk.url()).href); return /已反馈/.test(await desk.innerText('#rec-stands')); });

  // ---- nothing was lost on the way ----
  const statuses = {};
  for (const it of run('hub', 'record', 'list', '--kind', 'opinion', '--limit', '500').records) statuses[it.status] = (statuses[it.status] ?? 0) + 1;
  check('every matter is where the day has left it', statuses.pending === 300 && statuses.accepted === 98 && statuses.dispatched === 1 && statuses.informed === 1, JSON.stringify(statuses));
  check('no page kept anybody waiting for two seconds', slow.length === 0, slow.join(' '));
} catch (error) {
  check('the day comes to its end', false, error.stack);
} finally {
  await browser.close();
  nodes.stop();
}
ended();
