// A clerk's and an operator's day in Chromium, against `lianxin demo`: recording with the cable cut, the
// receipt when it is back, the operator's answer, the slip; drafts, errors, keys, no JavaScript, attacks on
// the door. axe-core looks at every page. With a folder as second argument it keeps screenshots there.
//
// usage: node journey.mjs PATH-OF-LIANXIN [SCREENSHOTS]
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { check, desktop, ended, launch, seen as looked, until } from './common.mjs';

const [lianxin, shots] = process.argv.slice(2);
if (shots) mkdirSync(shots, { recursive: true });
const seen = (page, name) => looked(page, name, shots);

const demo = spawn(lianxin, ['demo', '--web', '127.0.0.1:0', '--allow-host', 'demo.example'], { stdio: ['ignore', 'pipe', 'inherit'] });
const board = await new Promise((resolve, reject) => {
  let said = '';
  demo.stdout.on('data', (bytes) => {
    said += bytes;
    const found = said.match(/http:\/\/\S+/);
    if (found) resolve(found[0]);
  });
  demo.on('exit', () => reject(new Error(`the demonstration ended: ${said}`)));
});
const browser = await launch();
const { context, faults } = await desktop(browser);
const text = (page, query) => page.locator(query).first().innerText();
// The box of a register that stands for the record of this name.
const box = (page, name, label) => page.locator('label', { hasText: label }).locator(`[name=${name}]`);
try {
  const desk = await context.newPage();
  await desk.goto(board);
  check('the board shows four computers and five steps', await desk.locator('.switch').count() === 4 && await desk.locator('.ticks li').count() === 5);
  const open = async (code) => {
    const page = await context.newPage();
    await page.goto(`${board}devices/${code}/open`);
    return page;
  };

  // ---- the cable is out ----
  await desk.click('#s-EM1A');
  await until('the switch shows that the cable is cut', async () => /接上网线/.test(await text(desk, '#s-EM1A')));
  const clerk = await open('EM1A');
  const station = new URL(clerk.url()).origin;
  check('a link logs in and leaves no secret in the address', new URL(clerk.url()).pathname === '/', clerk.url());
  await until('the strip says offline', async () => /离线/.test(await text(clerk, '#strip-line')));
  await seen(clerk, 'home');

  await clerk.keyboard.press('n');
  await clerk.waitForURL('**/new/opinion**');
  await seen(clerk, 'intake');
  await clerk.fill('[name="place.text"]', '测试小区3号楼东侧');
  await clerk.click('button[value=register]');
  await clerk.waitForSelector('#errors');
  check('what is missing is named at the top and beside the field', await clerk.locator('#errors li').count() === 2 && await clerk.locator('#f-body-err').count() === 1);
  check('the summary has the focus', await clerk.evaluate(() => document.activeElement.id) === 'errors');
  check('what was typed is still there', await clerk.inputValue('[name="place.text"]') === '测试小区3号楼东侧');
  await seen(clerk, 'intake-errors');

  // ---- a draft: typed, left, found again ----
  const words = '测试小区3号楼东侧两盏路灯半个多月不亮，晚上老人出行不方便，希望尽快维修。𬱟㛃䶮';
  const answered = clerk.waitForResponse((answer) => answer.url().includes('/drafts/') && answer.request().method() === 'POST');
  await clerk.locator('#f-body').pressSequentially(words, { delay: 2 });
  const paused = Date.now();
  const kept = await answered;
  check('a draft is kept within a second of a pause', kept.ok() && Date.now() - paused < 1000 + 250, `${kept.status()} after ${Date.now() - paused} ms`);
  await until('the page says so', async () => /草稿已存/.test(await text(clerk, '[data-kept]')));
  await clerk.goto(`${station}/`);
  check('the draft is on the first page', await clerk.locator('a[href^="/drafts/"]').count() >= 1);
  await clerk.locator('a[href^="/drafts/"]').first().click();
  check('the draft holds the words, rare characters too', (await clerk.inputValue('#f-body')) === words);
  // An input method's Enter is no command.
  await clerk.evaluate(() => {
    const body = document.getElementById('f-body');
    body.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', ctrlKey: true, bubbles: true, isComposing: true }));
  });
  check('Ctrl+Enter inside an input method does nothing', clerk.url().includes('/drafts/'));
  await clerk.check('[name=category][value=help]', { force: true });
  await clerk.check('[name=identity_mode][value=confidential]', { force: true });
  await clerk.check('[name=reply_wanted][value=phone]', { force: true });
  await clerk.fill('[name="person.call_name"]', '测试女士');
  await clerk.fill('[name="person.phone"]', '000-0000-0001');
  await box(clerk, '"place.community"', '测试社区').check({ force: true });
  await clerk.check('[name=notice_shown]');
  await clerk.focus('#f-body');
  // Nobody is there to take it: the page stays, with the words and the reason.
  await clerk.route('**/here', (route) => route.abort());
  await clerk.keyboard.press('Control+Enter');
  await until('a program that is not running takes no words away', async () => /没有在运行/.test(await text(clerk, '[data-kept]')));
  check('the words are on the page', (await clerk.inputValue('#f-body')) === words);
  await clerk.unroute('**/here');
  await clerk.route('**/here', (route) => route.fulfill({ status: 401 }));
  await clerk.keyboard.press('Control+Enter');
  await until('a login that has ended says so and leads to another', async () => /登录已经结束/.test(await text(clerk, '[data-kept]')) && await clerk.locator('[data-kept] a[href="/login"][target=_blank]').count() === 1);
  await clerk.unroute('**/here');
  await clerk.keyboard.press('Control+Enter');
  await clerk.waitForURL('**/records/**');
  const made = new URL(clerk.url()).pathname;
  await clerk.goBack();
  await clerk.waitForURL(`**${made}?note=again`);
  check('going back leads to the record and to no empty form', true);
  await clerk.goto(`${station}${made}?note=new`);
  const number = await text(clerk, '.bignum');
  check('it has its number at once', /^YJ-SLJD-EM1A-\d{4}-\d{5}-\d\d$/.test(number), number);
  check('it stands at 已存本机', /已存本机/.test(await text(clerk, '.state')));
  check('and the page says why', /离线/.test(await text(clerk, '[data-why]')));
  await seen(clerk, 'saved');
  const record = new URL(clerk.url()).pathname;

  await clerk.goto(`${station}/sync`);
  check('the sync page lists it with its cause', /离线/.test(await text(clerk, 'table')));
  await seen(clerk, 'sync');
  await clerk.goto(`${station}${record}`);

  // ---- the cable is back ----
  await desk.bringToFront();
  await desk.click('#s-EM1A');
  await clerk.bringToFront();
  await until('without reloading, the page comes to 中心可查', async () => /中心可查/.test(await text(clerk, '.state')));
  await until('the strip is online with a receipt', async () => /中心在线/.test(await text(clerk, '#strip-line')) && /最近回执/.test(await text(clerk, '#strip-receipt')));
  check('the reason has gone', await clerk.locator('[data-why]').count() === 0);

  // ---- the operator ----
  const operator = await open('HUBB');
  const office = new URL(operator.url()).origin;
  await seen(operator, 'overview');
  await operator.goto(`${office}/queue`);
  await until('it waits in the operator\'s queue', async () => {
    await operator.reload();
    return (await operator.locator(`tr[data-record="${record.split('/').pop()}"]`).count()) === 1;
  });
  await seen(operator, 'queue');
  const step = async (event, fill = {}) => {
    await operator.goto(`${office}${record}`);
    const form = operator.locator(`form[action$="/steps/${event}"]`);
    for (const [name, value] of Object.entries(fill)) {
      const field = form.locator(`[name="${name}"]`).first();
      if (await field.evaluate((it) => it.tagName) === 'SELECT') await field.selectOption(value);
      else if (await field.getAttribute('type') === 'radio') await form.locator(`[id="f-${name}"] label`, { hasText: value }).click();
      else await field.fill(value);
    }
    await form.locator('button:not([type=button])').click();
    await operator.waitForURL(/note=done|did=/);
  };
  await step('accept');
  await until('the hub gives the case number that the operator asked for', async () => {
    await operator.goto(`${office}${record}`);
    return /第\d{4}号/.test(await operator.locator('main').innerText());
  });
  await seen(operator, 'record');
  await step('dispatch', { lead: '示例街道城市管理办公室', due_on: '2099-04-15' });
  await step('sign');
  await step('submit_reply', { resolution: 'solved', text: '两盏路灯已更换灯头并试亮。' });
  await step('approve');

  // ---- the answer comes back ----
  await until('the station shows the answer', async () => /已答复/.test(await text(clerk, '[data-status]')));
  await clerk.goto(`${station}/`);
  check('the first page reminds the clerk', await clerk.locator(`a[href^="${record}?step=inform"]`).count() > 0);
  await clerk.locator(`a[href^="${record}?step=inform"]`).first().click();
  // Told before it was said: that is asked about, and put right.
  await clerk.fill('form[action$="/steps/inform"] [name=on]', '2026-03-14');
  await clerk.check('form[action$="/steps/inform"] [name=way][value=phone]', { force: true });
  await clerk.click('form[action$="/steps/inform"] button:not([type=button])');
  await until('a day before the matter is asked about, and stays', async () => /早于/.test(await text(clerk, '#next')) && await clerk.inputValue('form[action$="/steps/inform"] [name=on]') === '2026-03-14');
  const today = new Date(Date.now() + 8 * 3_600_000).toISOString().slice(0, 10);
  await clerk.goto(`${station}${record}?step=inform`);
  await clerk.fill('form[action$="/steps/inform"] [name=on]', today);
  await clerk.check('form[action$="/steps/inform"] [name=way][value=phone]', { force: true });
  await clerk.click('form[action$="/steps/inform"] button:not([type=button])');
  await clerk.waitForURL(/note=done|did=/);
  await until('it comes to 已反馈', async () => /已反馈/.test(await text(clerk, '.state')));
  for (const tab of ['way', 'history', 'receipts']) {
    await clerk.goto(`${station}${record}?tab=${tab}`);
    await seen(clerk, `record-${tab}`);
  }

  // ---- the slip ----
  await clerk.goto(`${station}${record}`);
  await clerk.click('form[action$="/slip"] button');
  await clerk.waitForSelector('.sheet');
  const slip = await text(clerk, '.sheet');
  const code = (await text(clerk, '.secret')).replace(/\s/g, '');
  check('the slip has number, code and QR', slip.includes(number) && /^[0-9A-HJKMNP-TV-Z]{8}$/.test(code) && await clerk.locator('.qr path').count() === 1, code);
  check('and neither name nor words', !slip.includes('测试女士') && !slip.includes('000-0000') && !slip.includes('路灯'));
  await seen(clerk, 'slip');
  if (shots) {
    await clerk.emulateMedia({ media: 'print' });
    await clerk.screenshot({ path: join(shots, 'slip-print.png') });
    await clerk.emulateMedia({ media: 'screen' });
  }
  await clerk.goto(`${station}/lookup`);
  await clerk.fill('#number', number);
  await clerk.fill('#code', 'AAAAAAAA');
  await clerk.click('main .btn-main');
  await until('a wrong code tells nothing', async () => await clerk.locator('[role=alert]').count() === 1 && !clerk.url().includes(number));
  await clerk.fill('#code', code.toLowerCase());
  await clerk.click('main .btn-main');
  await clerk.waitForSelector('#h-standing');
  check('the right one tells the status alone', /已反馈/.test(await text(clerk, '#h-standing')));
  await seen(clerk, 'lookup');

  // ---- a conflict ----
  await desk.bringToFront();
  await desk.click('#s-EM1A');
  await until('the cable is cut again', async () => /接上网线/.test(await text(desk, '#s-EM1A')));
  await operator.goto(`${office}${record}/edit`);
  await operator.check('[name=urgency][value=urgent]', { force: true });
  await seen(operator, 'edit');
  await operator.click('#edit .btn-main');
  await operator.waitForURL(/note=done|did=/);
  await clerk.goto(`${station}${record}/edit`);
  await clerk.check('[name=urgency][value=emergency_referred]', { force: true });
  await clerk.click('#edit .btn-main');
  await clerk.waitForURL(/note=done|did=/);
  await desk.click('#s-EM1A');
  await until('both values are shown', async () => {
    await clerk.goto(`${station}${record}/conflict`);
    return await clerk.locator('.side').count() === 3;
  });
  await seen(clerk, 'conflict');
  await clerk.goto(`${station}/conflicts`);
  await seen(clerk, 'conflicts');
  check('the list of conflicts has it', await clerk.locator(`a[href^="${record}"]`).count() > 0);
  await clerk.goto(`${station}${record}`);
  await clerk.locator(`a[href="${record}/conflict"]`).first().click();
  await clerk.locator('#settle [type=radio]').first().check({ force: true });
  await clerk.locator('#settle .btn-main').click();
  await until('whoever drops a value says why', async () => await clerk.locator('#reason-err').count() === 1);
  await clerk.fill('#reason', '电话里核实过');
  await clerk.locator('#settle .btn-main').click();
  await clerk.waitForURL(/note=done|did=/);
  await clerk.goto(`${station}${record}/conflict`);
  check('a choice settles it', await clerk.locator('#settle').count() === 0);
  await seen(clerk, 'settled');

  // ---- what is kept, the letter, messages, the bin, duplicates ----
  await clerk.goto(`${station}${record}`);
  check('a number is shown in part', /000\*{4}0001/.test(await text(clerk, '#h-person ~ *, .inset')) && !(await clerk.content()).includes('000-0000-0001'));
  await clerk.locator('#reveal summary').click();
  await clerk.fill('#reveal-why', '电话反馈办理情况');
  await seen(clerk, 'reveal');
  await clerk.locator('form.reveal button').click();
  await until('and whole to whoever says why', async () => (await clerk.content()).includes('000-0000-0001'));
  for (const [page, at, name] of [[clerk, `${station}${record}/letter`, 'letter'], [clerk, `${station}/inbox`, 'inbox'], [clerk, `${station}/trash`, 'trash'], [operator, `${office}/duplicates`, 'duplicates'], [operator, `${office}/inbox`, 'inbox-office']]) {
    await page.goto(at);
    await seen(page, name);
  }

  // ---- lists, help, settings, login with a password ----
  await clerk.goto(`${station}/records`);
  await clerk.keyboard.press('/');
  await clerk.keyboard.type('路灯');
  await clerk.keyboard.press('Enter');
  await until('search finds it by words of its text', async () => await clerk.inputValue('#q') === '路灯' && (await clerk.locator('tbody.rows').innerText()).includes(number) && (await clerk.locator('tbody.rows tr').count()) < 4);
  check('and the words are not in the address', /\/search\/[0-9a-f]{32}$/.test(clerk.url()));
  await clerk.goto(`${station}/help`);
  await clerk.goBack();
  check('going back finds them again', (await clerk.inputValue('#q')) === '路灯');
  await seen(clerk, 'list');
  await clerk.keyboard.press('Escape');
  await clerk.locator('h1').click();
  await clerk.keyboard.press('j');
  check('J chooses a row', await clerk.locator('.rows .selected').count() === 1);
  await clerk.goto(`${station}/help`);
  await seen(clerk, 'help');
  await clerk.goto(`${station}/settings`);
  await seen(clerk, 'settings');
  await clerk.fill('#new', '123456');
  await clerk.fill('#again', '123456');
  await clerk.click('form[action="/settings/password"] button');
  await until('a weak password is refused', async () => await clerk.locator('[role=alert]').count() === 1);
  await clerk.fill('#new', '路灯已经修好了');
  await clerk.fill('#again', '路灯已经修好了');
  await clerk.click('form[action="/settings/password"] button');
  await until('a good one is taken', async () => await clerk.locator('main [role=status]').count() === 1);
  await clerk.click('.menu summary');
  await clerk.click('form[action="/logout"] button');
  await clerk.waitForURL('**/login');
  await seen(clerk, 'login');
  await clerk.fill('#password', 'wrong one');
  await clerk.click('.btn-main');
  await until('a wrong password is refused', async () => await clerk.locator('[role=alert]').count() === 1);
  await clerk.fill('#password', '路灯已经修好了');
  await clerk.click('.btn-main');
  await clerk.waitForURL(`${station}/`);
  check('name and password let in', true);

  // ---- an intake by keys alone: no more than twelve besides the text, and within a minute ----
  await clerk.goto(`${station}/`);
  await clerk.locator('h1').click();
  let keys = 0;
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const press = async (key) => { keys += key.split('+').length; await pause(400); await clerk.keyboard.press(key); };
  const type = (what) => clerk.keyboard.type(what, { delay: 150 });
  const begun = Date.now();
  await press('n');
  await clerk.waitForURL('**/new/opinion**');
  await clerk.waitForFunction(() => document.activeElement.id === 'f-body');
  check('the first field has the focus, the site\'s community is filled in', await box(clerk, '"place.community"', '测试社区').isChecked());
  await type('测试小区3号楼门前路灯又不亮了，晚上老人不敢出门。');
  await press('Tab');
  await press('2');
  // The communities of the register: a digit takes one and goes on to the place.
  await press('1');
  await type('测试小区3号楼东侧');
  await press('Tab');
  await press('3');
  await type('测试女士');
  await press('Tab');
  await type('000-0000-0001');
  await press('Tab');
  await press('2');
  await press('Space');
  await until('similar opinions stand beside it, and those of the same phone and place', async () => {
    const heads = await clerk.locator('[data-alike] h2, [data-alike] h3').allInnerTexts();
    return ['相似的登记', '同一电话', '同一事发地点'].every((head) => heads.some((it) => it.startsWith(head))) && await clerk.locator('[data-alike] mark').count() > 0;
  });
  check('and it can be registered', (await text(clerk, '[data-lacks]')) === '可以登记');
  await seen(clerk, 'intake-typed');
  await press('Control+Enter');
  await clerk.waitForURL('**/records/**');
  check('it took twelve keys at most besides the text', keys <= 12, `${keys} keys`);
  check('and a minute at most', Date.now() - begun < 60000, `${Date.now() - begun} ms`);
  check('what the keys chose is in the record', /求助/.test(await clerk.locator('main').innerText()) && /测试女士/.test(await clerk.locator('main').innerText()));
  await clerk.locator('.acts [data-key=n]').click();
  await clerk.waitForURL('**/new/opinion**');
  check('the next one begins with what stays', (await clerk.inputValue('#f-channel')) === 'walk_in' && (await clerk.inputValue('#f-body')) === '');
  // What a choice leaves no room for is emptied, and comes back with the choice.
  await clerk.check('[name=identity_mode][value=named]', { force: true });
  await clerk.fill('#f-person-phone', '1380000000');
  await until('a number that lacks a digit is seen beside it', async () => /少一位/.test(await clerk.locator('[data-looks=f-person-phone]').innerText()));
  await clerk.check('[name=reply_wanted][value=post]', { force: true });
  check('an answer by post asks for an address', await clerk.locator('#f-person-address').isVisible());
  await clerk.check('[name=identity_mode][value=anonymous]', { force: true });
  check('anonymous leaves no number, and offers no answer that needs one', (await clerk.inputValue('#f-person-phone')) === '' && !await clerk.locator('#f-person-phone').isVisible() && await clerk.locator('[name=reply_wanted][value=none]').isChecked() && !await clerk.locator('[name=reply_wanted][value=phone] + span').isVisible());
  await clerk.check('[name=identity_mode][value=named]', { force: true });
  check('another choice brings it back', (await clerk.inputValue('#f-person-phone')) === '1380000000');
  await clerk.locator('[data-lacks]').click();
  check('the pill leads to what is missing', await clerk.evaluate(() => document.activeElement.id) === 'f-body');
  await clerk.setViewportSize({ width: 390, height: 844 });
  const bar = await clerk.locator('.bar .btn-main').boundingBox();
  check('on a phone the button to register is in view', bar && bar.y + bar.height <= 844, JSON.stringify(bar));
  await clerk.setViewportSize({ width: 1280, height: 900 });
  await clerk.goto(`${station}/`);

  // ---- a draft law, article by article ----
  await clerk.goto(`${station}/`);
  check('the first page names the draft law that is open', await clerk.locator('#h-laws').count() === 1);
  await clerk.locator('section[aria-labelledby=h-laws] a').first().click();
  await clerk.waitForSelector('.article');
  check('it stands there article by article', await clerk.locator('.article').count() === 3);
  check('a station cannot correct what the sub-district publishes', await clerk.locator('a[href$="/edit"]').count() === 0);
  await seen(clerk, 'law');
  await clerk.locator('.article .btn').nth(1).click();
  await clerk.waitForURL('**/new/legis_comment**');
  check('a comment is begun on its article, whose text is in sight', (await clerk.inputValue('#f-article_path')) === '第十二条第二款' && /安抚被困人员/.test(await text(clerk, '.said')));
  check('and on its consultation, by name', /测试市住宅电梯安全条例/.test(await clerk.inputValue('#f-consultation')));
  await clerk.fill('#f-original_words', '通知以后也要有人留在门口说话。');
  await seen(clerk, 'comment');
  await clerk.click('button[value=register]');
  await clerk.waitForURL('**/records/**');
  check('it has a number of its own kind', /^LF-SLJD-EM1A-/.test(await text(clerk, '.bignum')));
  check('its facts link to the consultation', await clerk.locator('dd a', { hasText: '测试市住宅电梯安全条例' }).count() === 1);
  const comment = new URL(clerk.url()).pathname;
  await until('the operator sees it under the article', async () => {
    await operator.goto(`${office}/records?kind=legis_consultation`);
    await operator.locator('.ledger .title').first().click();
    await operator.waitForSelector('.article');
    return (await operator.locator('.article').nth(1).innerText()).includes('有人留在门口');
  });
  check('beside what the law office says of another', (await operator.locator('.article').first().innerText()).includes('不能一个标准'));
  await seen(operator, 'law-office');
  await operator.locator('summary', { hasText: '粘贴草案全文' }).click();
  await operator.fill('#paste', '第三章 附则\n第十四条 本条例所称电梯，包括：\n（一）客梯；\n第十五条 本条例自2027年1月1日起施行。');
  await seen(operator, 'law-paste');
  await operator.locator('form[action$="/articles"] button').first().click();
  await operator.waitForURL(/note=done|did=/);
  check('a pasted draft becomes articles behind those that are there', await operator.locator('.article').count() === 5 && /第十五条/.test(await operator.locator('.article').nth(4).innerText()));
  await operator.goto(`${office}${comment}`);
  await operator.locator('form[action$="/steps/word"] [name=legal_wording]').fill('通知后应当有人在现场安抚被困人员。');
  await operator.locator('form[action$="/steps/word"] button:not([type=button])').click();
  await operator.waitForURL(/note=done|did=/);
  check('the original words stand beside the legal wording', /留在门口说话/.test(await text(operator, '.said')) && /现场安抚/.test(await operator.locator('main').innerText()));

  // ---- a reception and what was said there ----
  await clerk.goto(`${station}/new`);
  check('a station records what stations do, and keeps no registers', await clerk.locator('.tile').count() === 17 && await clerk.locator('a[href="/new/deputy"], a[href="/new/org"]').count() === 0);
  await seen(clerk, 'new');
  await clerk.click('a[href="/new/reception"]');
  await clerk.fill('#f-date', '2026-03-17');
  await clerk.fill('#f-start', '09:00');
  await box(clerk, 'deputies_present', '测试代表乙').check({ force: true });
  await clerk.fill('#f-deputies_present-more', '测试代表丁');
  await seen(clerk, 'new-reception');
  await clerk.click('button[value=register]');
  await clerk.waitForURL('**/records/**');
  check('the deputy of the register is a link, the other as typed', await clerk.locator('dd a', { hasText: '测试代表乙' }).count() === 1 && /测试代表丁/.test(await clerk.locator('main').innerText()));
  check('nobody gets a slip for a reception', await clerk.locator('form[action$="/slip"]').count() === 0);
  const day = new URL(clerk.url()).pathname;
  await clerk.click('#r-opinion .btn');
  await clerk.waitForURL('**/new/opinion**');
  check('what is said there begins with its channel and deputies', (await clerk.inputValue('#f-channel')) === 'reception' && await box(clerk, 'deputies', '测试代表乙').isChecked());
  await clerk.fill('#f-body', '单元门禁坏了半个月。');
  await clerk.check('[name=category][value=help]', { force: true });
  await clerk.click('button[value=register]');
  await clerk.waitForURL('**/records/**');
  await clerk.goto(`${station}${day}`);
  check('the reception has gathered it', /单元门禁坏了半个月/.test(await text(clerk, '#r-opinion')));
  await seen(clerk, 'reception');
  // ---- a line each ----
  await clerk.locator('#r-opinion a', { hasText: '逐条登记' }).click();
  await clerk.waitForURL('**/lines/opinion**');
  await clerk.check('[name=category][value=suggestion]', { force: true });
  await clerk.locator('[name="row.body"]').first().focus();
  for (const line of ['建议加装电动车充电桩', '建议延长公园开放时间', '楼道堆物没人管', '垃圾桶离楼太近', '早高峰路口太堵', '建议多设几张长椅']) {
    await clerk.keyboard.type(line);
    await clerk.keyboard.press('Enter');
  }
  check('Enter goes on to the next line, also behind the last one', await clerk.locator('[name="row.body"]').count() === 7);
  await clerk.locator('[name="row.category"]').nth(2).selectOption('complaint');
  await clerk.locator('[name="row.person.call_name"]').nth(2).fill('测试先生');
  await until('the sheet is a draft', async () => /草稿已存/.test(await text(clerk, '[data-kept]')));
  await seen(clerk, 'lines');
  await clerk.reload();
  check('and it is still there after a reload', (await clerk.locator('[name="row.body"]').nth(5).inputValue()) === '建议多设几张长椅');
  await clerk.locator('.bar .btn-main').click();
  await clerk.waitForURL('**made=6');
  check('each line has become a record of its own', await clerk.locator('section[aria-labelledby=h-before] .rows li').count() === 7);
  await seen(clerk, 'lines-made');
  await clerk.goto(`${station}${day}/edit`);
  check('its correction form shows names, not ids', await box(clerk, 'deputies_present', '测试代表乙').isChecked() && (await clerk.inputValue('#f-deputies_present-more')) === '测试代表丁');
  await clerk.fill('#f-visitors_times', '6');
  await clerk.click('#edit .btn-main');
  await clerk.waitForURL(/note=done|did=/);
  await clerk.waitForURL(/note=done|did=/);
  check('a correction leaves the rest alone', await clerk.locator('dd a', { hasText: '测试代表乙' }).count() === 1);

  // ---- the sheets of a matter ----
  await operator.goto(`${office}${record}`);
  check('the matter has its assignment and its reply', /示例街道城市管理办公室/.test(await text(operator, '#r-assignment')) && await operator.locator('#r-reply .title').count() === 1);
  await operator.locator('#r-assignment .title').first().click();
  await operator.waitForURL('**/records/**');
  check('the sheet is numbered under the matter', (await operator.locator('.page-head').innerText()).includes(`${number}/Z1`));
  await seen(operator, 'assignment');
  await operator.goto(`${office}/new/deputy`);
  await operator.fill('#f-name', '测试代表戊');
  await operator.click('button[value=register]');
  await operator.waitForURL('**/records/**');
  check('the operator enters a deputy', /测试代表戊/.test(await operator.locator('main').innerText()));
  await seen(operator, 'deputy');

  // ---- the operator adds a site and an invite ----
  await operator.goto(`${office}/sites`);
  await operator.fill('#site-name', '示例商圈代表工作站');
  await operator.fill('#site-code', 'SQ1');
  await operator.selectOption('#site-kind', 'workstation');
  await operator.click('form[action="/sites"] button');
  await until('a site that the operator asked for appears', async () => {
    await operator.goto(`${office}/sites`);
    return (await operator.locator('main').innerText()).includes('示例商圈');
  });
  await operator.locator('section', { hasText: '示例商圈' }).locator('summary').click();
  await operator.locator('form[action="/sites/SQ1/invites"] button').click();
  await operator.waitForSelector('.sheet');
  check('an invite has its code', /^[0-9A-Z]{4}(-[0-9A-Z]{1,4}){3,4}$/.test((await text(operator, '.secret')).trim()), await text(operator, '.secret'));
  const card = await text(operator, '.secret');
  await operator.reload();
  check('loading it again shows the same invite', (await text(operator, '.secret')) === card && /\/invites\/[0-9a-f]{32}$/.test(operator.url()));
  await seen(operator, 'invite');
  await operator.goto(`${office}/help`);
  await seen(operator, 'help-office');

  // ---- without JavaScript ----
  const plain = await browser.newContext({ javaScriptEnabled: false, viewport: { width: 1280, height: 900 } });
  const bare = await plain.newPage();
  await bare.goto(`${board}devices/EM1B/open`);
  await bare.click('.btn-hero');
  await bare.fill('#f-body', '无脚本也能登记。');
  await bare.check('[name=category][value=suggestion]', { force: true });
  await bare.click('button[value=register]');
  check('an opinion is recorded without JavaScript', /^YJ-SLJD-EM1B/.test(await text(bare, '.bignum')));
  await plain.close();

  // ---- at the door ----
  const ask = (path, headers, method = 'GET') => new Promise((resolve) => {
    const { hostname, port } = new URL(station);
    const request = http.request({ hostname, port, path, method, headers }, (answer) => { answer.resume(); resolve(answer); });
    request.on('error', () => resolve({ statusCode: 0, headers: {} }));
    request.end();
  });
  const own = new URL(station).host;
  check('a foreign host is answered 421', (await ask('/', { Host: 'evil.example' })).statusCode === 421);
  check('an allowed host is answered', (await ask('/login', { Host: 'demo.example' })).statusCode === 200);
  check('without a login there is no page', (await ask('/records', { Host: own })).headers.location?.startsWith('/login'));
  const cookies = await context.cookies(station);
  const cookie = cookies.map((it) => `${it.name}=${it.value}`).join('; ');
  check('cookies are strict and out of reach of scripts', cookies.length > 0 && cookies.every((it) => it.httpOnly && it.sameSite === 'Strict'));
  const forged = { Host: own, Cookie: cookie, Origin: 'http://evil.example', 'Sec-Fetch-Site': 'cross-site' };
  check('a post from another site is refused', (await ask('/logout', forged, 'POST')).statusCode === 403);
  check('and has done nothing', (await ask('/', { Host: own, Cookie: cookie })).statusCode === 200);
  const policy = (await ask('/login', { Host: own })).headers['content-security-policy'] ?? '';
  check('the policy allows no script in a page', policy.includes("script-src 'self'") && !policy.includes('unsafe'));
  await clerk.goto(`${station}/new/opinion`);
  await clerk.fill('#f-body', '<script>document.title="x"</script><img src=x onerror=alert(1)>');
  await clerk.check('[name=category][value=other]', { force: true });
  await clerk.click('button[value=register]');
  await clerk.waitForURL('**/records/**');
  check('markup in a resident\'s words stays words', (await text(clerk, '.said')).startsWith('<script>') && (await clerk.title()) !== 'x');
  const gone = await clerk.goto(`${station}/nowhere`);
  check('a page that is not there says so', gone.status() === 404 && /LX-7004/.test(await text(clerk, 'main')));
  await seen(clerk, 'error');

  check('an error keeps the menu', await clerk.locator('.nav a').count() > 3);

  await desk.bringToFront();
  await desk.goto(board);
  await desk.click('#s-EM1B');
  await until('the second computer is cut', async () => /接上网线/.test(await text(desk, '#s-EM1B')));
  await desk.click('#r-EM1B');
  await until('a sample recorded there stays at 已存本机', async () => /已存本机/.test(await text(desk, 'tbody tr:first-child .sub')) && await desk.locator('tbody tr:first-child td.stuck').count() === 1);
  await seen(desk, 'board');
  check('no page complained', faults.length === 0, faults.slice(0, 3).join(' | '));
} catch (error) {
  check('the journey went on to its end', false, error.stack);
} finally {
  await browser.close();
  demo.removeAllListeners('exit');
  const gone = new Promise((resolve) => demo.on('exit', resolve));
  demo.kill('SIGTERM');
  check('the demonstration ends when told to', await gone === 0);
}
ended();
