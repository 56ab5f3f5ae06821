// Tables and papers in Chromium: an office's own ledger and letter are put in, an old ledger is imported with a column named by hand, lists
// go out in each form, a report is looked at, its number opened, issued; a kind of record is published, and a newer form of it; forms are taken as Word, and all that one person brought is looked for. axe-core looks at every page.
//
// usage: node tables.mjs PATH-OF-LIANXIN SCRATCH [SCREENSHOTS]
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Nodes, check, desktop, ended, launch, seen as looked, until } from './common.mjs';

const [lianxin, scratch, shots] = process.argv.slice(2);
if (shots) mkdirSync(shots, { recursive: true });
const seen = (page, name) => looked(page, `tables-${name}`, shots);
const nodes = new Nodes(lianxin, scratch);
const browser = await launch();
const { context, faults } = await desktop(browser);

// What a link leads to, as a file.
async function taken(page, link) {
  const [download] = await Promise.all([page.waitForEvent('download'), page.locator(link).first().click()]);
  const bytes = readFileSync(await download.path());
  return { name: download.suggestedFilename(), bytes, packed: bytes.subarray(0, 2).toString() === 'PK' };
}

try {
  await nodes.network([['station', 'EM1', 'station']]);
  await nodes.start('station');
  const open = async (device) => {
    const page = await context.newPage();
    await page.goto(nodes.run(device, 'open').url);
    return page;
  };
  // The page asks first whether anybody is there: until another has loaded, nothing has been sent.
  const sent = async (page, what) => {
    const loaded = page.waitForEvent('load');
    await page.click(what);
    await loaded;
  };
  const at = (page, path) => page.goto(new URL(path, page.url()).href);

  // ---- an old ledger comes in, with a column whose name nobody knows ----
  const clerk = await open('station');
  await at(clerk, '/records');
  await clerk.click('a[href^="/import"]');
  await seen(clerk, 'import');
  const rows = Array.from({ length: 120 }, (_, nth) => `GD-${nth},${nth + 1}号楼楼道灯不亮,求助,测试社区,2026年3月${(nth % 28) + 1}日,老城片区`);
  rows.push('GD-x,电梯困人,从来没有的类别,测试社区,2026年3月1日,老城片区');
  await clerk.setInputFiles('#file', nodes.file('old.csv', `工单号,问题描述,类别,社区,日期,片区\n${rows.join('\n')}\n`));
  await clerk.fill('#system', '12345');
  await sent(clerk, 'main .btn-main');
  check('a row without its words cannot be recorded', await clerk.locator('form[action^="/import/"] .btn-main').count() === 0, await clerk.innerText('main'));
  const choice = clerk.locator('tr', { hasText: '问题描述' }).locator('select');
  await choice.selectOption('body');
  await sent(clerk, 'form[action$="/columns"] .btn');
  check('with its column named by hand all but one can', /120/.test(await clerk.innerText('#h-come')), await clerk.innerText('#h-come'));
  check('what is refused says which row and why', /122/.test(await clerk.innerText('main')) && /类别/.test(await clerk.innerText('[aria-labelledby=h-refused]')));
  await seen(clerk, 'imported');
  const back = await taken(clerk, 'a[href$="/errors"]');
  check('the refused rows come back as a workbook', back.packed, back.name);
  await sent(clerk, 'form[action^="/import/"]:not([action$="/columns"]) .btn-main');
  await until('all are recorded', async () => (await clerk.locator('a[href="/records?kind=opinion"].btn').count()) === 1);
  const one = nodes.run('station', 'record', 'list', '--kind', 'opinion', '--limit', '1').records[0].id;
  check('a column that was known stays known', nodes.run('station', 'record', 'show', one).fields.external_ref?.[0]?.system === '12345');
  check('they are recorded', nodes.run('station', 'record', 'list', '--kind', 'opinion', '--limit', '500').records.length === 120);
  await clerk.reload();
  check('loading it again records nothing twice', nodes.run('station', 'record', 'list', '--kind', 'opinion', '--limit', '500').records.length === 120);
  // A table larger than anything that is typed is looked at too.
  const many = Array.from({ length: 3000 }, (_, nth) => `${nth + 1}号楼${'楼道灯不亮，请尽快处理。'.repeat(8)},求助`);
  await at(clerk, '/import');
  await clerk.setInputFiles('#file', nodes.file('large.csv', `反映内容,类别\n${many.join('\n')}\n`));
  await sent(clerk, 'main .btn-main');
  check('a ledger of 900 kB is looked at', /3000/.test(await clerk.innerText('#h-come').catch(() => clerk.innerText('body'))));
  await until('all have arrived', () => nodes.run('station', 'status').unreceipted === 0, 60);

  // ---- the office's own ledger and letter ----
  const desk = await open('hub');
  const blank = join(scratch, 'blank.xlsx');
  nodes.run('hub', 'export', '--format', 'xlsx', '--kind', 'training', '--out', blank);
  await at(desk, '/forms');
  await seen(desk, 'forms-empty');
  await desk.setInputFiles('#file', blank);
  await desk.selectOption('#kind', 'training');
  await desk.fill('#name', '培训台账');
  await sent(desk, 'main .btn-main');
  check('its columns are known by their names', await desk.locator('select option:checked[value="#number"]').count() === 1);
  await seen(desk, 'form-columns');
  await sent(desk, 'main .btn-main');
  check('it is in use', /培训台账/.test(await desk.innerText('.rows')));
  await seen(desk, 'forms');
  await sent(desk, '.rows .title');
  check('a form says what goes where', /履职|培训名称/.test(await desk.innerText('main')));
  await seen(desk, 'form-in-use');
  await sent(desk, '.toolbar a[href^="/records/"]:not([href*="export"])');
  check('the page of its record shows no digits of its file', !/UEsDB|存页/.test(await desk.innerText('main')));
  await at(desk, '/forms');
  await desk.setInputFiles('#file', nodes.file('page.csv', 'a,b\n1,2\n'));
  await sent(desk, 'main .btn-main');
  check('what is no form is refused with the reason', await desk.locator('[role=alert]').count() === 1, await desk.innerText('main'));

  // ---- lists go out ----
  await at(desk, '/records');
  await sent(desk, '.toolbar a[href^="/records/export"]');
  await seen(desk, 'export-kind');
  await desk.selectOption('#kind', 'opinion');
  await sent(desk, 'main .btn-main');
  await seen(desk, 'export');
  const book = await taken(desk, 'a[href$="form=xlsx"]');
  check('a list goes out as a workbook', book.packed && book.name.endsWith('.xlsx'), book.name);
  const csv = await taken(desk, 'a[href$="form=csv"]');
  check('and as csv that a table program opens', csv.bytes.subarray(0, 3).toString('hex') === 'efbbbf' && csv.bytes.toString().split('\n').length >= 121);
  const national = await taken(desk, 'a[href$="form=gb18030"]');
  check('and in the national encoding', new TextDecoder('gb18030').decode(national.bytes).includes('楼道灯不亮'));
  const city = await taken(desk, 'a[href$="form=open311"]');
  check('and for a city platform', JSON.parse(city.bytes.toString()).length === 120);
  await at(desk, '/records/export?kind=training');
  const own = await taken(desk, '.rows a[href*="office="]');
  check("and in the office's own form", own.packed && own.name.endsWith('.xlsx'), own.name);
  check('each is in the access log', nodes.run('hub', 'record', 'list', '--kind', 'access_log', '--limit', '50').records.length === 5);

  const [behind] = await Promise.all([desk.waitForEvent('download'), at(desk, '/records/table?kind=opinion&form=csv&behind=1').catch(() => {})]);
  check('what takes longer comes by itself, behind a page', behind.suggestedFilename().endsWith('.csv'), behind.suggestedFilename());
  check('which says that it is there', /文件写好了/.test(await desk.innerText('main')), desk.url());
  await seen(desk, 'export-ready');

  // ---- all that one person brought ----
  await at(desk, '/records');
  await sent(desk, '.toolbar a[href="/person"]');
  await desk.fill('#name', '测试女士');
  await sent(desk, 'main .btn-main');
  check('nobody is looked for without a reason', await desk.locator('#reason-err').count() === 1 && await desk.inputValue('#name') === '测试女士');
  await seen(desk, 'person');
  await desk.fill('#reason', '本人来问历次反映事项的办理情况');
  await desk.click('main .btn-main');
  await desk.waitForURL('**/search/**');
  check('whom one looks for stands in no address', !decodeURIComponent(desk.url()).includes('测试女士') && /测试女士/.test(await desk.innerText('main')));
  await seen(desk, 'person-found');

  // ---- a list kept on the first page ----
  await at(desk, '/records?kind=opinion&status=registered');
  await sent(desk, 'form[action="/records/pin"] .btn');
  check('a list says that it is kept', /取消固定/.test(await desk.innerText('.toolbar')));
  await at(desk, '/');
  check('and stands on the first page with its filter', /已登记.*群众意见建议|群众意见建议.*已登记/.test(await desk.innerText('[aria-labelledby=h-pins]')), await desk.innerText('main'));
  await seen(desk, 'home-pins');
  await sent(desk, '[aria-labelledby=h-pins] a');
  check('it leads there', new URL(desk.url()).search === '?kind=opinion&status=registered', desk.url());

  // ---- reports ----
  await at(desk, '/reports?from=2026-01-01&to=2026-12-31');
  await seen(desk, 'reports');
  for (const id of ['R1', 'R4', 'R11', 'figures']) {
    await at(desk, `/reports/${id}?from=2026-01-01&to=2026-12-31`);
    await seen(desk, `report-${id}`);
  }
  await at(desk, '/reports/R11?from=2026-01-01&to=2026-12-31');
  const number = desk.locator('main table a', { hasText: /^120$/ }).first();
  check('a report counts what was imported', await number.count() === 1, await desk.innerText('main'));
  await number.click();
  await desk.waitForLoadState();
  check('a number opens what it counts', /120/.test(await desk.innerText('main')) && await desk.locator('main a[href^="/records/"]').count() >= 50);
  await seen(desk, 'figure-list');
  await at(desk, '/reports/R11?from=2026-01-01&to=2026-12-31');
  const picture = await taken(desk, 'a[href*="form=plot-svg"]');
  check('a plot is a picture to take away', /<svg/.test(picture.bytes.toString().slice(0, 200)) && picture.name.endsWith('.svg'), picture.name);
  const numbers = await taken(desk, 'a[href*="form=plot-csv"]');
  check('and its numbers are', numbers.bytes.toString().split('\n').length > 2);
  const proof = await taken(desk, 'a[href*="form=proof"]');
  const path = nodes.file('proof.json', proof.bytes.toString());
  check('its proof is recounted', nodes.run('hub', 'verify', path).bad.length === 0);
  await desk.click('form[action*="/issue"] .btn');
  await desk.waitForURL('**/reports/issued/**');
  check('an issued report has a number', /BB-/.test(await desk.innerText('main')));
  await seen(desk, 'issued');
  await sent(desk, '.toolbar a[href*="compare"]');
  check('and what was corrected since is said beside it', /每个数字都和定稿一样/.test(await desk.innerText('[aria-labelledby=h-changed]')));
  await at(desk, '/compliance');
  await seen(desk, 'compliance');

  // ---- every report on paper ----
  const put = (kind, row) => nodes.run('hub', 'record', 'add', '--kind', kind, '--file', nodes.file('put.json', [row])).records[0].id;
  put('deputy', { name: '测试代表甲', level: 'district' });
  put('livestream', { subject: '物业收费标准与公共收益怎样公开（测试）', started_at: '2026-04-01T19:00:00+08:00', session_no: 1 });
  put('supervision', { target: one, level: 'sub_district', decided_on: '2026-04-02', unit: '测试区住房和城乡建设管理局' });
  const consultation = put('legis_consultation', { issuer: 'city', draft_title: '测试市物业管理条例（修订草案征求意见稿）', received_on: '2026-03-01', site_due_on: '2026-03-31' });
  put('legis_comment', { consultation, article_path: '第十二条第一款', original_words: '应当写明收费标准（测试）。', identity_mode: 'anonymous', occurred_on: '2026-03-10' });
  const papers = [...Array.from({ length: 18 }, (_, nth) => `R${nth + 1}`), 'figures'];
  await desk.emulateMedia({ media: 'print' });
  for (const id of papers) {
    await at(desk, `/reports/${id}?from=2026-01-01&to=2026-12-31`);
    const wide = await desk.evaluate(() => document.body.classList.contains('is-wide'));
    const most = await desk.evaluate(() => Math.max(0, ...Array.from(document.querySelectorAll('.figs'), (table) => table.rows[0].cells.length)));
    check(`${id} lies across where it has many columns`, wide === most > 7, `${most} columns`);
    // What the paper has between its margins, in CSS pixels.
    await desk.setViewportSize({ width: Math.floor((wide ? 297 - 24 : 210 - 28) * 96 / 25.4), height: 900 });
    const over = await desk.evaluate(() => Array.from(document.querySelectorAll('.table-box, html'), (box) => box.scrollWidth - box.clientWidth).filter((more) => more > 0));
    check(`nothing of ${id} is cut off`, over.length === 0, `${over} px too wide`);
    const scrolls = await desk.evaluate(() => Array.from(document.querySelectorAll('.table-box')).some((box) => getComputedStyle(box).overflowX !== 'visible'));
    check(`${id} has no scrollbar`, !scrolls);
    const paper = await desk.pdf({ preferCSSPageSize: true });
    const [, width, height] = /MediaBox \[0 0 ([\d.]+) ([\d.]+)\]/.exec(paper.toString('latin1')) ?? [];
    check(`${id} comes as A4`, Math.round(Number(wide ? height : width)) === 595, `${width} × ${height}`);
    if (shots) writeFileSync(join(shots, `paper-${id}.pdf`), paper);
  }
  const numbered = await desk.evaluate(() => Array.from(document.styleSheets).flatMap((sheet) => Array.from(sheet.cssRules)).filter((rule) => rule instanceof CSSPageRule && /counter\(page\)/.test(rule.cssText)).map((rule) => rule.selectorText));
  check('pages of reports are numbered, lying and upright', /rep/.test(numbered.join()) && /land/.test(numbered.join()), numbered.join());
  await desk.emulateMedia({ media: null });
  await desk.setViewportSize({ width: 1280, height: 900 });

  // ---- a kind of the office's own, and a newer form of it while a draft is open ----
  const kind = (version, more = '', fields = '"street"') => `code = "lamp_check"\nprefix = "LD"\nzh = "路灯巡查"\nen = "Lamp check"\nversion = ${version}\ngroup = "register"\nnamed_by = ["street"]\nabout = { zh = "路灯巡查登记", en = "Lamps that were looked at" }\ncreate = { zh = "登记巡查", en = "Enter a check", who = ["C", "H"] }\n[[section]]\ncode = "check"\nzh = "巡查"\nen = "The check"\nfields = [${fields}]\n[[field]]\nkey = "street"\nzh = "路段"\nen = "Street"\ntype = "ref"\nmax_chars = 40\nrequired = true\n${more}`;
  const newer = kind(2, '[[field]]\nkey = "lamps"\nzh = "不亮盏数"\nen = "Lamps out"\ntype = "int"\nmin = 0\nmax = 1000\nrequired = true\nsince = 2\n', '"street", "lamps"');
  const publish = async (name, text) => {
    await at(desk, '/kinds');
    await desk.setInputFiles('#file', nodes.file(name, text));
    await sent(desk, 'main .btn-main');
  };
  await publish('broken.toml', kind(1).replace('zh = "路段"', 'zh = "宗教信仰"'));
  check('what must not be asked for is not published', await desk.locator('[role=alert] .code').count() === 1, await desk.innerText('main'));
  await seen(desk, 'kinds-wrong');
  await publish('lamps.toml', kind(1));
  check('a kind is looked at before it is published', /新的登记表/.test(await desk.innerText('main')) && /路段/.test(await desk.innerText('main')));
  await seen(desk, 'kind-looked');
  await sent(desk, 'form[action^="/kinds/"] .btn-main');
  check('it is published', /路灯巡查/.test(await desk.innerText('[aria-labelledby=h-kinds]')));
  await at(desk, '/new/lamp_check');
  await desk.fill('[name=street]', '测试路');
  const draft = await desk.getAttribute('#intake', 'data-draft');
  await sent(desk, '[name=do][value=draft]');
  await publish('newer.toml', newer);
  check('a newer form says what it adds', /第 2 版/.test(await desk.innerText('main')) && /不亮盏数/.test(await desk.innerText('main')));
  await sent(desk, 'form[action^="/kinds/"] .btn-main');
  await seen(desk, 'kinds');
  await at(desk, draft);
  check('a draft of the older form says what the newer one asks besides', /第 1 版.*第 2 版.*不亮盏数/.test(await desk.innerText('#intake')), await desk.innerText('main'));
  await seen(desk, 'older-draft');
  await desk.click('[name=do][value=register]');
  await desk.waitForURL('**/records/**');
  check('and is registered as it is', nodes.run('hub', 'record', 'list', '--kind', 'lamp_check').records.length === 1);
  await at(desk, '/new/lamp_check');
  await desk.fill('[name=street]', '测试二路');
  await sent(desk, '[name=do][value=register]');
  check('a new one is asked for what the newer form asks', await desk.locator('#errors').count() === 1, await desk.innerText('main'));

  // ---- forms to print and to edit ----
  const visit = nodes.run('station', 'record', 'add', '--kind', 'reception', '--file', nodes.file('reception.json', [{ site: 'EM1', date: '2026-03-14', deputies_present: ['测试代表甲'], visitors_times: 3 }]));
  await at(clerk, `/records/${visit.records[0].id}/paper`);
  await seen(clerk, 'paper');
  const word = await taken(clerk, 'a[href$="as=docx"]');
  check('a form is a Word document too', word.packed && word.name.endsWith('.docx'), word.name);

  // ---- forms on paper, and what is typed from one ----
  await at(clerk, '/new/opinion/paper?copies=3');
  await seen(clerk, 'blank');
  const unwritten = await clerk.pdf({ preferCSSPageSize: true });
  const sheets = unwritten.toString('latin1').match(/\/Type\s*\/Page[^s]/g) ?? [];
  check('each form to fill in is a page', sheets.length === 3, `${sheets.length} pages`);
  const sheetNo = await clerk.locator('.blank .number .code').first().innerText();
  await at(clerk, '/new');
  await clerk.fill('#number', sheetNo.toLowerCase().replaceAll('-', ' '));
  await clerk.press('#number', 'Enter');
  await clerk.waitForURL('**/new/opinion?draft=*');
  await clerk.fill('[name=body]', '测试小区门口路灯不亮。');
  await clerk.locator('[name=category][value=help]').check({ force: true });
  await sent(clerk, '[name=do][value=register]');
  const typed = new URL(clerk.url()).pathname;
  check('what was written on paper is registered', typed.startsWith('/records/'), await clerk.innerText('main'));
  await at(clerk, `/new/paper?number=${sheetNo}`);
  check('the same paper is registered once', new URL(clerk.url()).pathname === typed, clerk.url());
  check('no page complained', faults.length === 0, faults.slice(0, 3).join(' | '));
} catch (error) {
  check('the day comes to its end', false, error.stack);
} finally {
  await browser.close();
  nodes.stop();
}
ended();
